add_subdirectory(${CMAKE_CURRENT_LIST_DIR}/../sandbox_probe ${CMAKE_BINARY_DIR}/tests/sandbox_probe)

postern_unit_tests(session
    SOURCES session_channel_test.cc session_connection_test.cc session_golden_test.cc
            session_harness.cc session_job_output_test.cc session_jobs_test.cc
            session_methods_test.cc session_output_file_test.cc session_sandbox_test.cc
            varlink_text.cc ../sandbox_probe/attempts.cc
    LIBRARIES postern_session_lib)
target_compile_definitions(session_tests PRIVATE
    POSTERN_SESSION="$<TARGET_FILE:postern-session>"
    POSTERN_SANDBOX_PROBE="$<TARGET_FILE:sandbox_probe>"
    POSTERN_GOLDEN="${CMAKE_CURRENT_LIST_DIR}/../golden"
    POSTERN_GOLDEN_BEFORE="${CMAKE_CURRENT_LIST_DIR}/../v0.1/golden")
add_dependencies(session_tests postern-session sandbox_probe)
