use super::{Definition, Plan, Service, Step};

/// A unit of the user's own systemd. Nothing in it needs a namespace, which a user without privileges cannot always
/// have: what would (`ProtectSystem`, `PrivateTmp`, …) could keep the daemon from starting at all.
pub(super) fn plan(service: &Service) -> Plan {
    let Service { name, program, config, stop_seconds, .. } = service;
    let folder = config.parent().unwrap_or(config);
    let text = format!(
        "\
[Unit]
Description=ATLES learns from chats ({name})

[Service]
Type=exec
ExecStart={program} --config {config} run
WorkingDirectory={folder}
Restart=on-failure
RestartSec=5
# A pipeline.toml that is wrong does not mend itself.
RestartPreventExitStatus=78
TimeoutStopSec={stop_seconds}
Nice=5
UMask=0077

# What the daemon, and the programs of its `exec` stages, may never do. Where a program needs more:
# systemctl --user edit {name}
NoNewPrivileges=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
",
        program = word(&program.to_string_lossy()),
        config = word(&config.to_string_lossy()),
        folder = folder.to_string_lossy().replace('%', "%%"),
    );
    let unit = format!("{name}.service");
    let systemctl = |words: &[&str]| {
        let all: Vec<&str> = ["systemctl", "--user"].into_iter().chain(words.iter().copied()).collect();
        Step::must(&all)
    };
    let reload = systemctl(&["daemon-reload"]);
    Plan {
        definition: Definition {
            path: service.user_home.join(".config/systemd/user").join(&unit),
            text,
            wide: false,
        },
        install: vec![reload.clone(), systemctl(&["enable", &unit]), systemctl(&["restart", &unit])],
        uninstall: vec![Step::may(&["systemctl", "--user", "disable", "--now", &unit])],
        afterwards: vec![Step { may_fail: true, ..reload }],
        start: vec![systemctl(&["start", &unit])],
        stop: vec![systemctl(&["stop", &unit])],
        status: vec![systemctl(&["--no-pager", "status", &unit])],
        hint: "it runs while you are logged in; `loginctl enable-linger` lets it run before and after",
    }
}

/// A word of a command line as systemd reads it.
fn word(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' | '$' => quoted.extend([c, c]),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::plan::example;
    use super::*;

    #[test]
    fn the_unit_is_hardened_and_takes_any_path() {
        let plan = plan(&example());
        insta::assert_snapshot!(plan.definition.text, @r#"
        [Unit]
        Description=ATLES learns from chats (atles)

        [Service]
        Type=exec
        ExecStart="/opt/at les/atles" --config "/home/ada/100%% \"mine\" & $$HOME/pipeline.toml" run
        WorkingDirectory=/home/ada/100%% "mine" & $HOME
        Restart=on-failure
        RestartSec=5
        # A pipeline.toml that is wrong does not mend itself.
        RestartPreventExitStatus=78
        TimeoutStopSec=30
        Nice=5
        UMask=0077

        # What the daemon, and the programs of its `exec` stages, may never do. Where a program needs more:
        # systemctl --user edit atles
        NoNewPrivileges=yes
        RestrictSUIDSGID=yes
        RestrictRealtime=yes
        RestrictNamespaces=yes
        LockPersonality=yes
        RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
        SystemCallArchitectures=native
        SystemCallFilter=@system-service
        SystemCallErrorNumber=EPERM

        [Install]
        WantedBy=default.target
        "#);
        assert_eq!(plan.definition.path.to_str(), Some("/home/ada/.config/systemd/user/atles.service"));
        let shown: Vec<String> = plan.install.iter().map(Step::shown).collect();
        assert_eq!(
            shown,
            [
                "systemctl --user daemon-reload",
                "systemctl --user enable atles.service",
                "systemctl --user restart atles.service"
            ]
        );
    }

    #[test]
    fn systemd_itself_finds_nothing_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("100% \"mine\" & $HOME");
        std::fs::create_dir(&folder).unwrap();
        let program = std::env::current_exe().unwrap();
        let service = Service { program, config: folder.join("pipeline.toml"), ..example() };
        let path = dir.path().join("atles.service");
        std::fs::write(&path, plan(&service).definition.text).unwrap();
        let Ok(said) = Command::new("systemd-analyze").arg("verify").arg(&path).output() else {
            eprintln!("there is no systemd-analyze here to ask");
            return;
        };
        let words = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && !words.contains("atles.service:"), "{words}");
    }
}
