// See options.h. The properties come from the table in ring/base/config.cc; torch_ring/_C.pyi declares them.
#include "c10d/options.h"

#include "c10d/errors.h"

namespace torch_ring {
namespace {

namespace py = pybind11;

constexpr const char* kTimeout = "timeout_ms";  // no setting has that name

// None stands for "unset".
py::object get(const RingOptions& options, const ring::Parameter& parameter) {
    const std::string value = ring::get_parameter(options.config, parameter.name);
    if (value.empty()) return py::none();
    if (parameter.type == "int") return py::int_(py::str(value));
    return py::str(value);
}

void set(RingOptions& options, const ring::Parameter& parameter, const py::object& value) {
    const bool fits = value.is_none() || (parameter.type == "int" ? py::isinstance<py::int_>(value)
                                                                  : py::isinstance<py::str>(value));
    if (!fits)
        throw py::type_error("ring: Options." + parameter.field() + " takes " + parameter.type +
                             " or None, not " + std::string(py::str(py::type::of(value).attr("__name__"))));
    const std::string text = value.is_none() ? "" : std::string(py::str(value));
    translated([&] { ring::set_parameter(options.config, parameter.name, text); });
}

c10::intrusive_ptr<RingOptions> copy(const RingOptions& options) {
    return c10::make_intrusive<RingOptions>(options);
}

// For another process, such as a spawned one: every setting that a group may have, and the timeout.
py::dict state_of(const RingOptions& options) {
    py::dict state;
    for (const ring::Parameter& parameter : ring::parameters())
        if (parameter.per_group) state[py::str(parameter.field())] = get(options, parameter);
    state[kTimeout] = options.timeout.count();
    return state;
}

c10::intrusive_ptr<RingOptions> with_state(const py::dict& state) {
    auto options = translated([] { return c10::make_intrusive<RingOptions>(); });
    for (const ring::Parameter& parameter : ring::parameters())
        if (parameter.per_group) set(*options, parameter, state[py::str(parameter.field())]);
    options->timeout = std::chrono::milliseconds(state[kTimeout].cast<int64_t>());
    return options;
}

}  // namespace

void register_options(py::module_& module) {
    py::class_<RingOptions, c10d::Backend::Options, c10::intrusive_ptr<RingOptions>> options(module,
                                                                                             "Options");
    options
        .def(py::init([](const py::kwargs& settings) {
            auto made = translated([] { return c10::make_intrusive<RingOptions>(); });
            py::object object = py::cast(made);
            for (const auto& [name, value] : settings) {
                if (!py::hasattr(object, name))
                    throw py::type_error("ring: Options has no setting '" + std::string(py::str(name)) + "'");
                py::setattr(object, name, value);
            }
            return made;
        }))
        .def(py::pickle(&state_of, &with_state))
        .def("__copy__", &copy)
        .def("__deepcopy__", [](const RingOptions& self, const py::dict&) { return copy(self); });
    for (const ring::Parameter& parameter : ring::parameters()) {
        if (!parameter.per_group) continue;
        options.def_property(
            parameter.field().c_str(), [parameter](const RingOptions& self) { return get(self, parameter); },
            [parameter](RingOptions& self, const py::object& value) { set(self, parameter, value); });
    }
}

}  // namespace torch_ring
