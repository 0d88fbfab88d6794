// What becomes of a program that reads a mapped file from which another program has cut a part.
#pragma once

namespace ngramstat {

// From now on the process ends with one line on standard error and status 1 when a page of a mapped
// file cannot be read any more (SIGBUS, which would end it without a word). Does nothing where the
// system has no such signal.
void exit_when_mapped_files_shrink();

}  // namespace ngramstat
