postern_unit_tests(jobs
    SOURCES
        jobs_cgroup_test.cc
        jobs_end_test.cc
        jobs_fixture.cc
        jobs_followers_test.cc
        jobs_group_digest_test.cc
        jobs_identity_test.cc
        jobs_launcher_test.cc
        jobs_order_test.cc
        jobs_output_test.cc
        jobs_record_test.cc
        jobs_restart_test.cc
        jobs_run_test.cc
        jobs_strain_test.cc
        jobs_unit_result_test.cc
    LIBRARIES postern_jobs postern_launch_order)
# The real launcher, as it is installed.
target_compile_definitions(jobs_tests PRIVATE POSTERN_LAUNCHER="$<TARGET_FILE:postern-launcher>")
add_dependencies(jobs_tests postern-launcher)
