postern_unit_tests(policy
    SOURCES policy_accounts_test.cc policy_action_errors_test.cc policy_action_parser_test.cc
            policy_argument_errors_test.cc policy_arguments_test.cc policy_examples_test.cc
            policy_fake_accounts.cc
            policy_loader_test.cc
            policy_run_as_test.cc policy_safe_file_test.cc policy_sandbox_test.cc policy_template_test.cc
            policy_verdict_test.cc
    LIBRARIES postern_policy nlohmann_json::nlohmann_json PkgConfig::RE2 ${CMAKE_DL_LIBS})
target_compile_definitions(policy_tests PRIVATE
    POSTERN_EXAMPLES="${CMAKE_SOURCE_DIR}/examples/actions"
    POSTERN_SCHEMA="${CMAKE_SOURCE_DIR}/daemon/policy/action.schema.json")
