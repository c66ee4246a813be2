@echo off
rem Starts the ATLES daemon: for a double click. Makes pipeline.toml and the folders where there are none yet.
rem Ctrl-C, or closing the window, ends it. %ATLES_BIN% names the program, %ATLES_CONFIG% the pipeline.toml; else both
rem are looked for.
setlocal
set "program=%ATLES_BIN%"
if not defined program for %%p in (atles.exe) do set "program=%%~$PATH:p"
if not defined program if exist "%USERPROFILE%\.cargo\bin\atles.exe" set "program=%USERPROFILE%\.cargo\bin\atles.exe"
if not defined program if exist "%~dp0..\target\release\atles.exe" set "program=%~dp0..\target\release\atles.exe"
if not defined program (
    echo There is no atles program. Build it: cargo build --release
    pause
    exit /b 1
)
rem Where the command and the clients look for it from any folder.
set "config=%ATLES_CONFIG%"
if not defined config set "config=%APPDATA%\atles\pipeline.toml"
if not exist "%config%" (
    "%program%" --config "%config%" init
    if errorlevel 1 (
        pause
        exit /b 1
    )
)
echo ATLES runs with %config%
"%program%" --config "%config%" run
if errorlevel 1 pause
exit /b %errorlevel%
