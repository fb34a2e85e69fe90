#include "cli/run_output.hpp"
#include "cli/verb.hpp"

namespace trawl::cli {

void add_run(CLI::App& app, action& chosen) {
    auto* verb = app.add_subcommand(
        "run", "Sweep, run commands where somebody answers, back up, mail the report");
    auto file = std::make_shared<std::string>();
    verb->add_option(
            "PLAN", *file,
            "The plan (TOML): [sweep], [ssh], [[backup]], [mail]; paths in it are relative to "
            "its folder")
        ->required();
    verb->callback([file, &chosen] {
        chosen = [file](environment& here) {
            auto what = [&] {
                try {
                    return plan::load(*file);
                } catch (std::system_error const& e) {
                    throw usage_error(e.what());
                }
            }();
            return here.run(run_plan(here, std::move(what)));
        };
    });
}

} // namespace trawl::cli
