#include "ngramstat/base/truncated_files.hpp"

#ifndef _WIN32
#include <signal.h>
#include <unistd.h>
#endif

namespace ngramstat {

#ifndef _WIN32
namespace {

constexpr char kMessage[] =
    "\nError: a file that is being read was truncated by another program, or its disk failed; put "
    "it back as it was, and run the command again\n";

// Only what is allowed in a signal handler: no allocation, no locks, no streams.
void on_bus_error(int, siginfo_t* info, void*) {
    if (info->si_code == BUS_ADRERR) {
        // Where standard error cannot be written either, the status alone tells.
        [[maybe_unused]] const ssize_t written =
            write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
        _exit(1);
    }
    // Another fault: the instruction runs once more and ends the process as usual.
    signal(SIGBUS, SIG_DFL);
}

}  // namespace
#endif

void exit_when_mapped_files_shrink() {
#ifndef _WIN32
    struct sigaction action = {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, nullptr);
#endif
}

}  // namespace ngramstat
