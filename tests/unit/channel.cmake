postern_unit_tests(channel
    SOURCES channel_messages_test.cc channel_transport_test.cc
    LIBRARIES postern_channel)
