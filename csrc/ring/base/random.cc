// See random.h.
#include "ring/base/random.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include "ring/base/error.h"
#include "ring/base/fd.h"

namespace ring {

void fill_random(void* to, size_t bytes) {
    // So few bytes come at once, and no signal cuts them short.
    if (::getrandom(to, bytes, 0) == static_cast<ssize_t>(bytes)) return;
    const UniqueFd source = checked_fd(::open("/dev/urandom", O_RDONLY | O_CLOEXEC),
                                       "random bytes: getrandom is refused, and opening /dev/urandom failed");
    if (::read(source.get(), to, bytes) != static_cast<ssize_t>(bytes)) throw_errno("reading /dev/urandom");
}

}  // namespace ring
