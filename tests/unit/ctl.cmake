postern_unit_tests(ctl
    SOURCES ctl_action_test.cc ctl_arguments_test.cc ctl_connect_test.cc ctl_datagram_test.cc
            ctl_exit_code_test.cc ctl_text_test.cc
    LIBRARIES postern_ctl)
