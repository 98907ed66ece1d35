# A CMake toolchain: compiles by zig's clang (the PyPI package ziglang) for CRFRNN_ZIG_TARGET, e.g. aarch64-linux-gnu.2.28
# (with the oldest glibc that it shall run with) or x86_64-windows-gnu.
# CRFRNN_SYSROOT: a folder of fetch_sysroot.sh, whose libstdc++ is taken instead of zig's libc++. Python modules need it, since
# what is thrown in one library is caught in another.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES CRFRNN_ZIG_TARGET CRFRNN_SYSROOT)
if(NOT CRFRNN_ZIG_TARGET MATCHES "^([^-]+)-(linux|windows)-")
  message(FATAL_ERROR "CRFRNN_ZIG_TARGET is PROCESSOR-linux-gnu.VERSION or PROCESSOR-windows-gnu, not '${CRFRNN_ZIG_TARGET}'")
endif()
set(CMAKE_SYSTEM_PROCESSOR ${CMAKE_MATCH_1})
if(CMAKE_MATCH_2 STREQUAL "windows")
  set(CMAKE_SYSTEM_NAME Windows)
  set(CMAKE_CROSSCOMPILING_EMULATOR wine)
else()
  set(CMAKE_SYSTEM_NAME Linux)
  if(NOT CMAKE_SYSTEM_PROCESSOR STREQUAL CMAKE_HOST_SYSTEM_PROCESSOR)
    set(CMAKE_CROSSCOMPILING_EMULATOR qemu-${CMAKE_SYSTEM_PROCESSOR} -L ${CRFRNN_SYSROOT})
  endif()
endif()

find_program(CRFRNN_ZIG python-zig REQUIRED)
if(CRFRNN_SYSROOT)
  set(triple ${CMAKE_SYSTEM_PROCESSOR}-linux-gnu)
  # Before the system's headers, which zig names by -isystem, since libstdc++ includes them by #include_next.
  set(CMAKE_CXX_COMPILER ${CRFRNN_ZIG} cc -target ${CRFRNN_ZIG_TARGET} -I${CRFRNN_SYSROOT}/usr/include/c++/10
                         -I${CRFRNN_SYSROOT}/usr/include/${triple}/c++/10)
  set(CMAKE_CXX_STANDARD_LIBRARIES
      "${CRFRNN_SYSROOT}/usr/lib/${triple}/libstdc++.so.6 ${CRFRNN_SYSROOT}/lib/${triple}/libgcc_s.so.1")
else()
  set(CMAKE_CXX_COMPILER ${CRFRNN_ZIG} c++ -target ${CRFRNN_ZIG_TARGET})
endif()
