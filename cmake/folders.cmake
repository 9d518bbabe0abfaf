# One CMake target for each folder of the sources, made from the table in HACKING.md: it compiles
# what lies in the folder and links what the row names, and nothing else. The folder a/b is the
# target postern_a_b.

# The words of a row -> what is linked for them. The others ("files" and so on) name what only
# tests/checks/walls.py knows of.
set(postern_library_nlohmann_json nlohmann_json::nlohmann_json)
set(postern_library_spdlog spdlog::spdlog)
set(postern_library_systemd PkgConfig::SYSTEMD)
set(postern_library_re2 PkgConfig::RE2)
set(postern_library_seccomp PkgConfig::SECCOMP)
set(postern_library_CLI11 CLI11::CLI11)
set(postern_library_nettle PkgConfig::NETTLE)
set(postern_library_threads Threads::Threads)

# Headers that most files read, compiled once. What a file includes is still its own to say: builds
# without this, and tests/checks/walls.py, hold it to that.
function(postern_precompiled name)
    file(WRITE ${CMAKE_BINARY_DIR}/${name}.cc "")
    add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/${name}.cc)
    target_precompile_headers(${name} PRIVATE <algorithm> <array> <cerrno> <chrono> <cstdint>
        <functional> <map> <memory> <optional> <string> <string_view> <variant> <vector>
        <nlohmann/json.hpp> ${ARGN})
    postern_same_definitions(${name})
    target_link_libraries(${name} PRIVATE nlohmann_json::nlohmann_json)
endfunction()

# Such headers are only good where the same macros are defined.
function(postern_same_definitions name)
    target_compile_definitions(${name} PRIVATE
        $<TARGET_PROPERTY:spdlog::spdlog,INTERFACE_COMPILE_DEFINITIONS>)
    target_compile_options(${name} PRIVATE -pthread)
endfunction()

if(POSTERN_PCH)
    postern_precompiled(postern_pch)
endif()

# The text between ` and ` in one cell of a row.
function(postern_words cell result)
    string(REGEX MATCHALL "`[^`]+`" words "${cell}")
    list(TRANSFORM words REPLACE "[`]|/`$" "")
    set(${result} ${words} PARENT_SCOPE)
endfunction()

function(postern_target folder result)
    string(REPLACE "/" "_" name "postern_${folder}")
    set(${result} ${name} PARENT_SCOPE)
endfunction()

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/HACKING.md)
file(STRINGS ${CMAKE_SOURCE_DIR}/HACKING.md rows REGEX "^\\| `[a-z/]+/` \\|")
if(NOT rows)
    message(FATAL_ERROR "HACKING.md has no table of folders")
endif()

foreach(row IN LISTS rows)
    if(NOT row MATCHES "^\\| `([a-z/]+)/` \\|[^|]*\\|([^|]*)\\|([^|]*)\\|$")
        message(FATAL_ERROR "HACKING.md: a row is not \"| folder | what | includes | libraries |\": ${row}")
    endif()
    set(folder ${CMAKE_MATCH_1})
    postern_words("${CMAKE_MATCH_2}" folders)
    postern_words("${CMAKE_MATCH_3}" libraries)
    postern_target(${folder} target)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cc)
    list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
    if(sources)
        set(scope PUBLIC)
        add_library(${target} STATIC ${sources})
        set_target_properties(${target} PROPERTIES
            UNITY_BUILD ${POSTERN_UNITY} UNITY_BUILD_BATCH_SIZE 0)
        if(POSTERN_PCH)
            postern_same_definitions(${target})
            target_precompile_headers(${target} REUSE_FROM postern_pch)
        endif()
    else()
        set(scope INTERFACE)
        add_library(${target} INTERFACE)
    endif()
    foreach(other IN LISTS folders)
        postern_target(${other} other)
        target_link_libraries(${target} ${scope} ${other})
    endforeach()
    foreach(library IN LISTS libraries)
        if(DEFINED postern_library_${library})
            target_link_libraries(${target} ${scope} ${postern_library_${library}})
        endif()
    endforeach()
endforeach()

# postern_program(NAME FOLDER DESTINATION [STATIC|STATIC_RUNTIME] [UNREADABLE]): main.cc and the target of its folder.
#
# Most of what a short program takes is the loading of its libraries. STATIC_RUNTIME: those of C++ are part of
# it, for a program that links no other library written in C++. STATIC: it has no libraries at all, for one that
# asks no name service. Sanitizers have their own. UNREADABLE: what cannot be read cannot be traced either, by
# others who run as the same user.
function(postern_program name folder destination)
    cmake_parse_arguments(PARSE_ARGV 3 is "STATIC;STATIC_RUNTIME;UNREADABLE" "" "")
    postern_target(${folder} target)
    add_executable(${name} ${CMAKE_SOURCE_DIR}/${folder}/main.cc)
    target_link_libraries(${name} PRIVATE ${target})
    if(POSTERN_SANITIZE OR POSTERN_FUZZ)
        # as they come
    elseif(is_STATIC)
        target_link_options(${name} PRIVATE -static-pie)
    elseif(is_STATIC_RUNTIME)
        target_link_options(${name} PRIVATE -static-libstdc++ -static-libgcc)
    endif()
    if(NOT POSTERN_SANITIZE AND NOT POSTERN_FUZZ)
        # Of headers and static libraries most is used by none of a program's functions. What is left out is not
        # loaded, and its addresses are not put right at each start; those that are take an eighth of the space.
        target_link_options(${name} PRIVATE -Wl,--gc-sections -Wl,-z,pack-relative-relocs)
    endif()
    set(permissions "")
    if(is_UNREADABLE)
        set(permissions PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_EXECUTE WORLD_EXECUTE)
    endif()
    install(TARGETS ${name} DESTINATION ${destination} ${permissions})
endfunction()
