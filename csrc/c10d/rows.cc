// See rows.h.
#include "c10d/rows.h"

#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "c10d/named.h"
#include "ring/base/signature.h"
#include "ring/kernels/reduce.h"

namespace torch_ring {
namespace {

template <typename Rows>
std::vector<std::string> names_of(const Rows& rows) {
    std::vector<std::string> names;
    for (const auto& row : rows) names.emplace_back(row.name);
    return names;
}

}  // namespace

void register_rows(pybind11::module_& module) {
    namespace py = pybind11;

    module.def("dtypes", [] { return names_of(ring::kDTypes); });
    module.def("reduce_ops", [] { return names_of(ring::kReduceOps); });
    module.def(
        "reduces",
        [](const std::string& dtype, const std::string& op) {
            return ring::reduce_function(row_named(dtype, ring::kDTypes, "a dtype").dtype,
                                         row_named(op, ring::kReduceOps, "a reduce op").op) != nullptr;
        },
        py::arg("dtype"), py::arg("op"));
    module.def(
        "bus_factor",
        [](const std::string& collective, int ranks) {
            return ring::bus_factor(row_named(collective, ring::kCollectives, "a collective").kind, ranks);
        },
        py::arg("collective"), py::arg("ranks"));
}

}  // namespace torch_ring
