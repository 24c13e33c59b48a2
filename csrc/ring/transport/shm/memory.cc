// See memory.h.
#include "ring/transport/shm/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "ring/base/error.h"
#include "ring/transport/shm/abstract.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace ring {
namespace {

// vm.memfd_noexec=2 wants to be told that nobody will execute it; kernels before 6.3 do not know the flag.
UniqueFd make_memfd() {
    constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    const int fd = ::memfd_create("torch_ring", kFlags | MFD_NOEXEC_SEAL);
    return UniqueFd(fd >= 0 || errno != EINVAL ? fd : ::memfd_create("torch_ring", kFlags));
}

UniqueFd make_file(const std::string& folder) {
    const int nameless = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (nameless >= 0) return UniqueFd(nameless);
    const std::string path = folder + "/" + random_name();
    UniqueFd file(::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    if (file) ::unlink(path.c_str());
    return file;
}

}  // namespace

UniqueFd make_shared_memory(size_t bytes, const char* fallback) {
    const auto size = static_cast<off_t>(bytes);
    if (UniqueFd memory = make_memfd()) {
        if (::ftruncate(memory.get(), size) != 0) throw_errno("sizing the shared memory");
        // Nobody can shrink it under the others' feet.
        if (::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
            throw_errno("sealing the shared memory");
        return memory;
    }
    const std::string refused = std::strerror(errno);
    UniqueFd file = make_file(fallback);
    const int failed = file ? ::posix_fallocate(file.get(), 0, size) : errno;
    if (failed == 0) return file;
    throw Error("cannot make " + std::to_string(bytes) + " bytes of shared memory: memfd_create: " + refused +
                "; a file in " + fallback + " instead: " + std::strerror(failed) +
                "; allow memfd_create in the container's seccomp profile, or give it a /dev/shm of that size "
                "for each group (docker --shm-size)");
}

}  // namespace ring
