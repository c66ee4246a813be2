use super::plan::xml;
use super::{Definition, Plan, Service, Step};

/// A task of Windows that runs at the user's logon.
pub(super) fn plan(service: &Service) -> Plan {
    let folder = service.config.parent().unwrap_or(&service.config);
    let text = format!(
        r#"<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>ATLES learns from chats</Description></RegistrationInfo>
  <Triggers><LogonTrigger><Enabled>true</Enabled></LogonTrigger></Triggers>
  <Principals>
    <Principal id="Author"><LogonType>InteractiveToken</LogonType><RunLevel>LeastPrivilege</RunLevel></Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Hidden>true</Hidden>
    <Priority>7</Priority>
    <RestartOnFailure><Interval>PT1M</Interval><Count>999</Count></RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{program}</Command>
      <Arguments>--config "{config}" run</Arguments>
      <WorkingDirectory>{folder}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"#,
        program = xml(&service.program.to_string_lossy()),
        // A path of Windows holds no quotes.
        config = xml(&service.config.to_string_lossy().replace('"', "")),
        folder = xml(&folder.to_string_lossy()),
    );
    let path = service.user_home.join("AppData/Local/ATLES").join(format!("{}.task.xml", service.name));
    let (name, file) = (&service.name, path.to_string_lossy().into_owned());
    let end = Step::may(&["schtasks", "/End", "/TN", name]);
    Plan {
        install: vec![
            Step::must(&["schtasks", "/Create", "/F", "/TN", name, "/XML", &file]),
            Step::must(&["schtasks", "/Run", "/TN", name]),
        ],
        uninstall: vec![end.clone(), Step::may(&["schtasks", "/Delete", "/F", "/TN", name])],
        afterwards: Vec::new(),
        start: vec![Step::must(&["schtasks", "/Run", "/TN", name])],
        stop: vec![Step { may_fail: false, ..end }],
        status: vec![Step::must(&["schtasks", "/Query", "/V", "/FO", "LIST", "/TN", name])],
        hint: "it runs while you are logged in",
        definition: Definition { path, text, wide: true },
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::example;
    use super::*;

    #[test]
    fn the_task_runs_at_logon_without_privileges_and_takes_any_path() {
        let text = plan(&example()).definition.text;
        for line in [
            "<LogonTrigger><Enabled>true</Enabled></LogonTrigger>",
            "<RunLevel>LeastPrivilege</RunLevel>",
            "<Command>/opt/at les/atles</Command>",
            "<Arguments>--config \"/home/ada/100% mine &amp; $HOME/pipeline.toml\" run</Arguments>",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
