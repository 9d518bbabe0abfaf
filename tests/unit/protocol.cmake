postern_unit_tests(protocol
    SOURCES protocol_base64_test.cc protocol_call_test.cc protocol_framing_test.cc protocol_interfaces_test.cc
            protocol_reply_test.cc varlink_text.cc
    LIBRARIES postern_protocol)
