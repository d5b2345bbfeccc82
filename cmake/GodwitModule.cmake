# module(NAME DEPS a b LIBS x y)
#
# One folder under src/ is one library, `godwit::NAME`, with one public header `NAME/NAME.h`.
#   *.cc            the library             (src/NAME/**)
#   *_test.cc       one test binary         NAME_test, run by ctest, label "unit": no root, no network, under a second
#   *_bench.cc      one benchmark binary    NAME_bench, run once by ctest so that it cannot rot
#   *_fuzz.cc       one libFuzzer binary each, when GODWIT_FUZZ is on
# DEPS are other modules (dependencies point down only, see src/README.md); LIBS are outside libraries.
#
# Targets over all modules: `unit_tests` (their test programs), `fuzzers`, `generated` (headers made from schemas).
foreach(all unit_tests fuzzers generated)
  if(NOT TARGET ${all})
    add_custom_target(${all})
  endif()
endforeach()

function(module name)
  cmake_parse_arguments(M "" "" "DEPS;LIBS" ${ARGN})
  file(GLOB_RECURSE all CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(sources)
  set(tests)
  set(benches)
  set(fuzzers)
  foreach(f ${all})
    if(f MATCHES "_test\\.cc$")
      list(APPEND tests ${f})
    elseif(f MATCHES "_bench\\.cc$")
      list(APPEND benches ${f})
    elseif(f MATCHES "_fuzz\\.cc$")
      list(APPEND fuzzers ${f})
    elseif(NOT f MATCHES "main\\.cc$")
      list(APPEND sources ${f})
    endif()
  endforeach()

  add_library(godwit_${name} STATIC ${sources})
  add_library(godwit::${name} ALIAS godwit_${name})
  target_include_directories(godwit_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  list(TRANSFORM M_DEPS PREPEND godwit::)
  target_link_libraries(godwit_${name} PUBLIC godwit_flags ${M_DEPS} ${M_LIBS})

  if(tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE godwit_${name} GTest::gtest GTest::gmock GTest::gtest_main)
    target_compile_options(${name}_test PRIVATE -O0)  # half of the time to compile them
    add_dependencies(unit_tests ${name}_test)
    gtest_discover_tests(${name}_test PROPERTIES LABELS unit DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60)
  endif()
  if(benches)
    add_executable(${name}_bench ${benches})
    target_link_libraries(${name}_bench PRIVATE godwit_${name} benchmark::benchmark benchmark::benchmark_main)
    add_dependencies(unit_tests ${name}_bench)
    add_test(NAME ${name}_bench COMMAND ${name}_bench --benchmark_min_time=0)
    set_tests_properties(${name}_bench PROPERTIES LABELS "unit;bench")
  endif()
  if(GODWIT_FUZZ)
    foreach(f ${fuzzers})
      get_filename_component(base ${f} NAME_WE)
      add_executable(${base} ${f})
      target_link_libraries(${base} PRIVATE godwit_${name} -fsanitize=fuzzer)
      add_dependencies(fuzzers ${base})
    endforeach()
  endif()
endfunction()
