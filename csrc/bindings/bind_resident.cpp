#include <cstdint>

#include "bind.hpp"
#include "ngramstat/huge_pages.hpp"
#include "ngramstat/resident.hpp"

namespace ngramstat::bindings {

void bind_resident(py::module_& m) {
    m.def("resident_bytes", &resident_bytes,
          "Resident memory of this process in bytes; 0 where the system does not tell.");
    m.def("keep_resident_memory_low", &keep_resident_memory_low,
          "What workers do between tasks, for loops outside of them.");
    m.def("trim_heap", &trim_heap, "Give freed memory back to the system.");
    m.def(
        "let_go_of",
        [](const std::vector<std::pair<std::uintptr_t, std::size_t>>& mappings,
           std::size_t threshold) {
            std::vector<MappedFile> files;
            for (const auto& [address, bytes] : mappings) {
                files.push_back({reinterpret_cast<const void*>(address), bytes});
            }
            let_go_of(std::move(files), threshold);
        },
        py::arg("mappings"), py::arg("threshold"),
        "Mapped files (address, bytes) whose pages workers let go of beyond a threshold.");
}

}  // namespace ngramstat::bindings
