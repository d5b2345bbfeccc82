# proto_library(NAME FILES a.proto …  [GRPC])
#
# Generates C++ from schemas under proto/ into `godwit::proto_NAME`; included as "godwit/NAME.pb.h".
# Generated code is compiled without our warnings.
find_program(PROTOC protoc REQUIRED)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
function(proto_library name)
  cmake_parse_arguments(P "GRPC" "" "FILES;DEPS" ${ARGN})
  set(out ${CMAKE_BINARY_DIR}/gen)
  set(generated)
  foreach(f ${P_FILES})
    string(REGEX REPLACE "\\.proto$" "" stem ${f})
    set(outputs ${out}/${stem}.pb.cc ${out}/${stem}.pb.h)
    set(args --cpp_out=${out})
    if(P_GRPC)
      list(APPEND outputs ${out}/${stem}.grpc.pb.cc ${out}/${stem}.grpc.pb.h)
      list(APPEND args --grpc_out=${out} --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN})
    endif()
    add_custom_command(OUTPUT ${outputs}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
      COMMAND ${PROTOC} -I${CMAKE_SOURCE_DIR}/proto ${args} ${CMAKE_SOURCE_DIR}/proto/${f}
      DEPENDS ${CMAKE_SOURCE_DIR}/proto/${f} VERBATIM)
    list(APPEND generated ${outputs})
  endforeach()
  add_library(godwit_proto_${name} STATIC ${generated})
  add_library(godwit::proto_${name} ALIAS godwit_proto_${name})
  target_include_directories(godwit_proto_${name} SYSTEM PUBLIC ${out})
  list(TRANSFORM P_DEPS PREPEND godwit::proto_)
  target_link_libraries(godwit_proto_${name} PUBLIC protobuf::libprotobuf ${P_DEPS})
  if(P_GRPC)
    target_link_libraries(godwit_proto_${name} PUBLIC PkgConfig::GRPCPP)
  endif()
endfunction()
