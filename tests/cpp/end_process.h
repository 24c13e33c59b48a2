// How a forked child of a test ends.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

namespace ring::testing {

// At once, as by _exit(). That one ThreadSanitizer takes for the end of a program that should have joined its
// progress thread, which lives as long as its process.
[[noreturn]] inline void end_process(int code) {
    ::syscall(SYS_exit_group, code);
    std::abort();
}

}  // namespace ring::testing
