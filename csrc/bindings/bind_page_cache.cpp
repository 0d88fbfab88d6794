#include <cstdint>
#include <limits>

#include "bind.hpp"
#include "ngramstat/base/huge_pages.hpp"
#include "ngramstat/base/page_cache.hpp"
#include "ngramstat/base/truncated_files.hpp"

namespace ngramstat::bindings {

void bind_page_cache(py::module_& m) {
    m.def("rss_bytes", &rss_bytes,
          "Resident memory of this process in bytes; 0 where the system does not report it.");
    m.def("release_pages_if_needed", &release_pages_if_needed,
          "Releases pages of the mappings if the resident memory exceeds the threshold.");
    m.def(
        "release_pages", [] { release_pages_before(std::numeric_limits<std::size_t>::max() / 2); },
        "Releases pages of the mappings whatever the resident memory is.");
    m.def(
        "exit_when_mapped_files_shrink", &exit_when_mapped_files_shrink,
        "From now on the process ends with one line on standard error and status 1 where a mapped "
        "file was truncated while it is read.");
    m.def("trim_heap", &trim_heap, "Returns freed memory to the system.");
    m.def(
        "set_releasable_mappings",
        [](const std::vector<std::pair<std::uintptr_t, std::size_t>>& mappings,
           std::size_t threshold) {
            std::vector<MappedFile> files;
            for (const auto& [address, bytes] : mappings) {
                files.push_back({reinterpret_cast<const void*>(address), bytes});
            }
            set_releasable_mappings(std::move(files), threshold);
        },
        py::arg("mappings"), py::arg("threshold"),
        "Mapped files (address, bytes) whose pages are released beyond a threshold of resident "
        "bytes.");
}

}  // namespace ngramstat::bindings
