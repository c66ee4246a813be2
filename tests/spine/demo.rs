//! The demo: the samples through the default pipeline.

use crate::support::{Home, said};

#[test]
fn the_samples_go_through_the_default_pipeline_and_the_demo_reports_them() {
    let home = Home::with_text("# unused");
    let folder = home.folder().join("demo");
    let said = said(home.command().args(["demo", "--offline", "--home"]).arg(&folder)).expect(0);
    // Without a cache folder, and offline, no base model can be had; the demo says so and is whole all the same.
    assert!(said.err.contains("no model is trained, all else works"), "{}", said.err);
    let root = folder.join("atles_memory");
    let names = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let samples: Vec<String> = {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sample_spool");
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let (broken, good): (Vec<String>, Vec<String>) =
        samples.into_iter().partition(|name| name.starts_with("broken-"));
    assert_eq!(names("done"), good);
    let with_sidecars: Vec<String> =
        broken.iter().flat_map(|name| [name.clone(), format!("{name}.error.json")]).collect();
    assert_eq!(names("failed"), with_sidecars);
    assert!(broken.len() == 4 && good.len() >= 14, "{broken:?} {good:?}");

    let page = said
        .out
        .replace(env!("CARGO_BIN_EXE_atles"), "atles")
        .replace(&*root.to_string_lossy(), "HOME")
        .replace(&*folder.to_string_lossy(), "FOLDER");
    insta::assert_snapshot!("demo_report", page);
}
