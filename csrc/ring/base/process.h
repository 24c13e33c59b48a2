// What the system says of other processes: which one a pid meant when somebody told it, whether that one
// still lives, what a process was started with. For ranks of one host that form a group, and have nothing yet
// that would tell them of each other's end.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ring {

// What tells this process from another one that may get its pid later; "" where the system does not say.
std::string process_identity();

// Whether the process `pid`, which called itself `identity`, has ended. False where this process cannot know:
// it sees other pids than that one, or none at all.
bool process_ended(int pid, const std::string& identity);

// 0 where there is none, or it is in another pid namespace, or the system does not say.
int parent_of(int pid);

// Those that have not ended. None where the system does not say.
std::vector<int> children_of(int pid);

// Seconds between the start of the machine and that of the process; none where the system does not say.
std::optional<double> started_at(int pid);

// Seconds since the machine was started.
double seconds_since_start();

// The words of its command line; none where the system does not say.
std::vector<std::string> command_of(int pid);

// What the process was started with, whatever it has changed since. None where the system does not say, as it
// does not to other users, or where the process has written over it, as those do that change their title.
std::optional<std::map<std::string, std::string>> environment_of(int pid);

}  // namespace ring
