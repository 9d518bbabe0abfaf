postern_unit_tests(base
    SOURCES base_duration_test.cc base_size_test.cc base_strict_json_test.cc base_utf8_test.cc
    LIBRARIES postern_base)
