//! The routes of scanning: artifacts, scanners, the system, search over all images.

use http::Method;

use super::{scanners, scanning, scans, search, system};
use crate::routes::{Routes, about};

pub(super) fn routes() -> Routes {
    Routes::new()
        .merge(scans_of())
        .merge(scanners_of())
        .merge(results_of())
        .merge(scanning_of())
        .merge(search_of())
        .merge(reports_of())
}

fn scanners_of() -> Routes {
    use scanners::{
        Change, Choice, InForce, Scanner, choose, choose_in_project, choose_none, choose_none_in_project,
        keep, list, metadata, project_choice, remove, system_choice,
    };
    let (one, system, project) = ("/scanners/{scanner}", "/system/scanners", "/projects/{project}/scanners");
    Routes::new()
        .add(
            Method::GET,
            "/scanners",
            list,
            about("list_scanners", "Lists the registered scanners.").answers::<Vec<Scanner>>(),
        )
        .add(
            Method::PUT,
            one,
            keep,
            about("put_scanner", "Registers a scanner that can be reached, or changes it.").body::<Change>(),
        )
        .add(Method::DELETE, one, remove, about("delete_scanner", "Takes a scanner's registration away."))
        .add(
            Method::GET,
            &format!("{one}/metadata"),
            metadata,
            about("show_scanner_metadata", "Asks a scanner what it can do.").answers::<serde_json::Value>(),
        )
        .add(
            Method::GET,
            system,
            system_choice,
            about("show_scanners", "Shows the scanners of projects that do not choose.").answers::<InForce>(),
        )
        .add(
            Method::PUT,
            system,
            choose,
            about("choose_scanners", "Chooses the scanners of projects that do not choose.").body::<Choice>(),
        )
        .add(
            Method::DELETE,
            system,
            choose_none,
            about("reset_scanners", "Lets projects that do not choose go by the registry's own scanner."),
        )
        .add(
            Method::GET,
            project,
            project_choice,
            about("show_project_scanners", "Shows by which scanners a project goes.").answers::<InForce>(),
        )
        .add(
            Method::PUT,
            project,
            choose_in_project,
            about("choose_project_scanners", "Chooses by which scanners a project goes.").body::<Choice>(),
        )
        .add(
            Method::DELETE,
            project,
            choose_none_in_project,
            about("reset_project_scanners", "Lets a project go by the system's scanners."),
        )
}

fn results_of() -> Routes {
    let of = |rest: &str| {
        format!("/projects/{{project}}/repositories/{{repository}}/artifacts/{{reference}}/scan/{rest}")
    };
    Routes::new()
        .add(
            Method::GET,
            &of("findings"),
            scanners::findings,
            about("show_findings", "Shows what all scanners say of an image, and who says it.")
                .open()
                .answers::<serde_json::Value>(),
        )
        .add(
            Method::PUT,
            &of("results/{result}"),
            scanners::upload,
            about(
                "put_scan_result",
                "Keeps what another scanner said of an image, a bill of materials or a VEX document about it, as it is.",
            )
                .body::<serde_json::Value>(),
        )
        .add(
            Method::DELETE,
            &of("results/{result}"),
            scanners::take_back,
            about("delete_scan_result", "Takes an uploaded document away."),
        )
}

fn scans_of() -> Routes {
    use scans::{Form, Line, Scan, log, report, sbom, show, start, stop};
    let of = |rest: &str| {
        format!("/projects/{{project}}/repositories/{{repository}}/artifacts/{{reference}}/{rest}")
    };
    Routes::new()
        .add(
            Method::GET,
            &of("scan"),
            show,
            about("show_scan", "Shows what is known of an artifact: of an index, of its images.")
                .open()
                .answers::<Scan>(),
        )
        .add(
            Method::POST,
            &of("scan"),
            start,
            about("start_scan", "Scans an artifact; the last verdict stands until there is another.")
                .accepts::<Scan>(),
        )
        .add(Method::DELETE, &of("scan"), stop, about("stop_scan", "Stops the scan of an artifact."))
        .add(
            Method::GET,
            &of("scan/log"),
            log,
            about("show_scan_log", "Shows what the newest scan of an artifact said.")
                .open()
                .answers::<Vec<Line>>(),
        )
        .add(
            Method::GET,
            &of("scan/report"),
            report,
            about("show_scan_report", "Makes the report of an image by the advisories of this moment.")
                .open()
                .answers::<serde_json::Value>(),
        )
        .add(
            Method::GET,
            &of("sbom"),
            sbom,
            about("show_sbom", "Makes the bill of materials of an image.")
                .open()
                .query::<Form>()
                .answers::<serde_json::Value>(),
        )
}

fn scanning_of() -> Routes {
    use scanning::{Decided, Status, Sweep, Which, WireList, advisories, allow_list, change};
    use scanning::{change_allow_list, findings, renew, show, start, stop, sweeps};
    let (project, list, all) = ("/projects/{project}/scanning", "/system/allow-list", "/system/scans");
    Routes::new()
        .add(
            Method::GET,
            project,
            show,
            about("show_scanning", "Shows what a project decides about scanning.").answers::<Decided>(),
        )
        .add(
            Method::PUT,
            project,
            change,
            about("change_scanning", "Decides about scanning in a project.").body::<Decided>(),
        )
        .add(
            Method::GET,
            list,
            allow_list,
            about("show_allow_list", "Shows the allow-list of the whole system.").answers::<WireList>(),
        )
        .add(
            Method::PUT,
            list,
            change_allow_list,
            about("change_allow_list", "Changes the allow-list of the whole system.").body::<WireList>(),
        )
        .add(
            Method::GET,
            all,
            sweeps,
            about("list_scans", "Lists the last scans of everything.").answers::<Vec<Sweep>>(),
        )
        .add(
            Method::POST,
            all,
            start,
            about("scan_all", "Scans everything, behind what people ask for.").accepts::<Sweep>(),
        )
        .add(
            Method::DELETE,
            all,
            stop,
            about("stop_scan_all", "Stops the scans of everything; what was judged stays."),
        )
        .add(
            Method::GET,
            "/system/advisories",
            advisories,
            about("show_advisories", "Shows the advisories that artifacts are judged by.")
                .answers::<Status>(),
        )
        .add(
            Method::POST,
            "/system/advisories/renewals",
            renew,
            about("renew_advisories", "Asks the feeds what is new.").accepts::<system::Progress>(),
        )
        .add(
            Method::GET,
            "/findings.csv",
            findings,
            about("export_findings", "Lists the findings of all that you may see, as CSV.")
                .query::<Which>()
                .text("text/csv"),
        )
}

fn search_of() -> Routes {
    use search::{Asked, Exported, Found, Keep, Saved, export, forget, images, keep, saved};
    Routes::new()
        .add(
            Method::GET,
            "/search/images",
            images,
            about("search_images", "Lists the images that contain what is asked for.")
                .open()
                .query::<Asked>()
                .answers::<Found>(),
        )
        .add(
            Method::GET,
            "/search/images.csv",
            export,
            about("export_images", "Lists the images that contain what is asked for, as CSV.")
                .open()
                .query::<Exported>()
                .text("text/csv"),
        )
        .add(
            Method::GET,
            "/search/saved",
            saved,
            about(
                "list_saved_searches",
                "Lists your questions that are asked again whenever something changes.",
            )
            .answers::<Vec<Saved>>(),
        )
        .add(
            Method::PUT,
            "/search/saved/{search}",
            keep,
            about("keep_search", "Keeps a question; a new answer raises an event.").body::<Keep>(),
        )
        .add(Method::DELETE, "/search/saved/{search}", forget, about("forget_search", "Forgets a question."))
}

fn reports_of() -> Routes {
    use super::exposure::{Exposures, Page, Totals, Which, export, list, summary};
    Routes::new()
        .add(
            Method::GET,
            "/reports/exposure",
            list,
            about("list_exposures", "Lists how long vulnerabilities stay in projects.")
                .open()
                .query::<Page>()
                .answers::<Exposures>(),
        )
        .add(
            Method::GET,
            "/reports/exposure/summary",
            summary,
            about("summarise_exposures", "Says how long repairs take, by severity and by project.")
                .open()
                .query::<Which>()
                .answers::<Totals>(),
        )
        .add(
            Method::GET,
            "/reports/exposure.csv",
            export,
            about("export_exposures", "Lists how long vulnerabilities stay in projects, as CSV.")
                .open()
                .query::<Which>()
                .text("text/csv"),
        )
}
