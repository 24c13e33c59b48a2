// The floating-point environment in which all sums are made: that of a new program, whatever the caller's
// thread has set. With subnormal numbers flushed to zero on one rank's thread, or another way of rounding,
// ranks that add up the same numbers would end with different bits.
#pragma once

#include <cstdint>

namespace ring {

// Sets it for this thread, and restores what was there. Costs some nanoseconds, a few less where nothing is
// to be changed. Exceptions that were raised meanwhile are forgotten where it was changed.
class FloatEnvironment {
  public:
    FloatEnvironment() : before_(get()) {
        if ((before_ & kControls) != (kInitial & kControls)) set(kInitial);
    }
    ~FloatEnvironment() {
        if ((before_ & kControls) != (kInitial & kControls)) set(before_);
    }
    FloatEnvironment(const FloatEnvironment&) = delete;
    FloatEnvironment& operator=(const FloatEnvironment&) = delete;

  private:
#if defined(__x86_64__)
    // MXCSR: all exceptions masked, to nearest even, nothing flushed; the lowest six bits tell what happened.
    using Register = uint32_t;
    static constexpr Register kInitial = 0x1F80;
    static constexpr Register kControls = ~Register{0x3F};
    static Register get() { return __builtin_ia32_stmxcsr(); }
    static void set(Register value) { __builtin_ia32_ldmxcsr(value); }
#elif defined(__aarch64__)
    using Register = uint64_t;
    static constexpr Register kInitial = 0;
    static constexpr Register kControls = ~Register{0};
    static Register get() {
        Register value;
        asm volatile("mrs %0, fpcr" : "=r"(value));
        return value;
    }
    static void set(Register value) { asm volatile("msr fpcr, %0" : : "r"(value)); }
#else
#error "how to set the floating-point environment of this processor?"
#endif

    const Register before_;
};

}  // namespace ring
