postern_unit_tests(guard
    SOURCES guard_audit_test.cc guard_closer_test.cc guard_configuration_test.cc
            guard_datagram_receiver_test.cc guard_datagram_replier_test.cc guard_denial_window_test.cc guard_identity_test.cc guard_limits_test.cc
            guard_listener_test.cc guard_policy_store_test.cc guard_service_notice_test.cc
    LIBRARIES postern_guard nlohmann_json::nlohmann_json spdlog::spdlog)
target_compile_definitions(guard_tests PRIVATE
    POSTERN_CATALOG="${CMAKE_SOURCE_DIR}/systemd/postern.catalog")
