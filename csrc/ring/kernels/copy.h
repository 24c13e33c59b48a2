// Copies within the caches: into and out of memory that ranks share.
#pragma once

#include <cstddef>

namespace ring {

// Copies `bytes` bytes. Unlike memcpy, whose string instructions are slow where another core has the target's
// lines, with vector stores. Thread-safe.
void copy(void* to, const void* from, size_t bytes);

// The same, into memory that another core has read and will read again.
//
// An ordinary store must first take the line back from the other core. Between near cores that is cheap;
// between far ones (another L3) it takes some 300 ns a line, 1.8 GB/s, and a store past the caches is 15
// times as fast and its reader no slower. Which it is cannot be asked for, and on virtual machines it changes
// by the minute: so the first kilobytes are timed now and then (line_cost.h), and decide about the rest.
void copy_to_shared(void* to, const void* from, size_t bytes);

// copy() into such memory, or out of it, which only finds that cost out.
void copy_and_time(void* to, const void* from, size_t bytes);

// What such a line took of late, in this process, with ordinary stores, in ns; 0 while nobody has found out.
// Up to 2 between near cores, and 8 and more between far ones. Thread-safe.
double shared_line_ns();

}  // namespace ring
