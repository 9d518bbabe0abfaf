# How a test that is a command becomes a test of ctest.
get_filename_component(repository ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)
set(python /usr/bin/python3)  # Debian's own, which has Debian's pytest
set(pytest ${python} -m pytest)

# Tests that take long start first (COST), so that the last ones to end are short.
function(postern_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "ROOT" "TIMEOUT;COST;LABEL;PROCESSORS" "COMMAND;ENVIRONMENT")
    if(arg_ROOT)
        list(PREPEND arg_COMMAND ${repository}/tests/checks/as_root.sh)
    endif()
    add_test(NAME ${name} COMMAND ${arg_COMMAND} WORKING_DIRECTORY ${repository})
    foreach(property TIMEOUT COST PROCESSORS)
        if(DEFINED arg_${property})
            set_tests_properties(${name} PROPERTIES ${property} ${arg_${property}})
        endif()
    endforeach()
    # 77: nothing of it could run here, as its output says.
    set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 LABELS "${arg_LABEL}"
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;${arg_ENVIRONMENT}")
endfunction()
