use super::plan::xml;
use super::{Definition, Plan, Service, Step};

/// An agent of the user's session on macOS.
pub(super) fn plan(service: &Service) -> Plan {
    let label = format!("org.atles.{}", service.name);
    let folder = service.config.parent().unwrap_or(&service.config);
    let text = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key><string>{label}</string>
  <key>ProgramArguments</key>
  <array>
    <string>{program}</string>
    <string>--config</string>
    <string>{config}</string>
    <string>run</string>
  </array>
  <key>WorkingDirectory</key><string>{folder}</string>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>
  <key>ThrottleInterval</key><integer>10</integer>
  <key>ExitTimeOut</key><integer>{stop}</integer>
  <key>ProcessType</key><string>Background</string>
  <key>Umask</key><integer>63</integer>
  <key>StandardErrorPath</key><string>{log}</string>
</dict>
</plist>
"#,
        label = xml(&label),
        program = xml(&service.program.to_string_lossy()),
        config = xml(&service.config.to_string_lossy()),
        folder = xml(&folder.to_string_lossy()),
        stop = service.stop_seconds,
        log = xml(&service.log.to_string_lossy()),
    );
    let path = service.user_home.join("Library/LaunchAgents").join(format!("{label}.plist"));
    let domain = format!("gui/{}", service.user);
    let target = format!("{domain}/{label}");
    let file = path.to_string_lossy().into_owned();
    Plan {
        install: vec![
            Step::may(&["launchctl", "bootout", &target]),
            Step::must(&["launchctl", "bootstrap", &domain, &file]),
        ],
        uninstall: vec![Step::may(&["launchctl", "bootout", &target])],
        afterwards: Vec::new(),
        start: vec![
            Step::may(&["launchctl", "bootstrap", &domain, &file]),
            Step::must(&["launchctl", "kickstart", &target]),
        ],
        stop: vec![Step::must(&["launchctl", "bootout", &target])],
        status: vec![Step::must(&["launchctl", "print", &target])],
        hint: "it runs while you are logged in",
        definition: Definition { path, text, wide: false },
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::example;
    use super::*;

    #[test]
    fn the_property_list_takes_any_path() {
        let plan = plan(&example());
        insta::assert_snapshot!(plan.definition.text, @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
        <plist version="1.0">
        <dict>
          <key>Label</key><string>org.atles.atles</string>
          <key>ProgramArguments</key>
          <array>
            <string>/opt/at les/atles</string>
            <string>--config</string>
            <string>/home/ada/100% &quot;mine&quot; &amp; $HOME/pipeline.toml</string>
            <string>run</string>
          </array>
          <key>WorkingDirectory</key><string>/home/ada/100% &quot;mine&quot; &amp; $HOME</string>
          <key>RunAtLoad</key><true/>
          <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>
          <key>ThrottleInterval</key><integer>10</integer>
          <key>ExitTimeOut</key><integer>30</integer>
          <key>ProcessType</key><string>Background</string>
          <key>Umask</key><integer>63</integer>
          <key>StandardErrorPath</key><string>/home/ada/atles_memory/logs/service.log</string>
        </dict>
        </plist>
        "#);
        assert_eq!(
            plan.install[1].shown(),
            "launchctl bootstrap gui/501 /home/ada/Library/LaunchAgents/org.atles.atles.plist"
        );
    }
}
