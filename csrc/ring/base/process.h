// Which process a pid meant when somebody told it, and whether that one still lives. For ranks of one host
// that form a group, and have nothing yet that would tell them of each other's end.
#pragma once

#include <string>

namespace ring {

// What tells this process from another one that may get its pid later; "" where the system does not say.
std::string process_identity();

// Whether the process `pid`, which called itself `identity`, has ended. False where this process cannot know:
// it sees other pids than that one, or none at all.
bool process_ended(int pid, const std::string& identity);

}  // namespace ring
