//! Word lists of the facts. Blanks part the entries; `_` stands for a blank or a hyphen inside one.

pub(super) const JOBS: &str = "\
    engineer developer programmer teacher nurse doctor physician surgeon dentist lawyer attorney paralegal \
    designer manager consultant analyst accountant architect carpenter electrician plumber mechanic chef cook \
    baker waiter waitress bartender barista farmer gardener florist librarian journalist writer author editor \
    translator interpreter photographer filmmaker director producer actor actress musician singer composer \
    painter illustrator artist sculptor dancer scientist physicist chemist biologist mathematician statistician \
    researcher professor lecturer tutor postdoc pharmacist veterinarian vet psychologist psychiatrist therapist \
    physiotherapist counselor counsellor social_worker midwife paramedic firefighter policeman police_officer \
    soldier pilot flight_attendant captain driver trucker mail_carrier salesperson salesman saleswoman realtor \
    broker banker economist auditor secretary receptionist administrator sysadmin technician operator foreman \
    builder welder tailor hairdresser barber beautician cleaner nanny babysitter kindergarten_teacher coach \
    trainer personal_trainer instructor entrepreneur founder ceo cto cfo freelancer contractor civil_servant \
    judge politician diplomat priest pastor minister nun monk data_scientist marketer copywriter recruiter \
    product_owner scrum_master tester bookkeeper cashier shopkeeper butcher fisherman miner geologist \
    astronomer historian archaeologist anthropologist linguist philosopher radiologist cardiologist \
    anesthesiologist pediatrician optician optometrist dietitian nutritionist caregiver volunteer streamer \
    youtuber blogger potter jeweller jeweler beekeeper brewer winemaker sommelier zookeeper surveyor \
    cartographer locksmith roofer machinist mason janitor curator animator game_designer principal housewife \
    househusband pensioner retiree apprentice trainee intern student_teacher screenwriter novelist poet";

pub(super) const ANIMALS: &str = "\
    dog dogs puppy puppies cat cats kitten kittens parrot parrots hamster hamsters rabbit rabbits bunny bunnies \
    horse horses pony ponies budgie budgies guinea_pig guinea_pigs turtle turtles tortoise snake snakes python_snake \
    goldfish ferret ferrets chickens hens ducks goats sheep donkey donkeys gecko geckos lizard lizards canary \
    canaries cockatiel cockatiels hedgehog hedgehogs chinchilla chinchillas gerbil gerbils rats axolotl tarantula";

pub(super) const BREEDS: &str = "\
    beagle beagles golden_retriever golden_retrievers labrador labradors lab poodle poodles dachshund dachshunds \
    german_shepherd german_shepherds husky huskies corgi corgis border_collie border_collies bulldog bulldogs \
    french_bulldog pug pugs chihuahua chihuahuas terrier terriers rottweiler dalmatian greyhound whippet spaniel \
    cocker_spaniel australian_shepherd boxer_dog great_dane shih_tzu labradoodle goldendoodle maltese_dog samoyed";

pub(super) const CONDITIONS: &str = "\
    type_1_diabetes type_2_diabetes type_one_diabetes type_two_diabetes diabetes asthma adhd add autism epilepsy \
    migraines arthritis rheumatoid_arthritis hypertension high_blood_pressure low_blood_pressure depression anxiety \
    an_anxiety_disorder anxiety_disorder bipolar_disorder ocd ptsd celiac_disease coeliac_disease crohn's_disease \
    crohn's ibs ulcerative_colitis multiple_sclerosis ms parkinson's eczema psoriasis hypothyroidism \
    hyperthyroidism endometriosis pcos dyslexia tinnitus sleep_apnea insomnia anemia anaemia lupus fibromyalgia \
    gout scoliosis cystic_fibrosis glaucoma hay_fever heart_disease a_heart_condition heart_condition \
    kidney_disease cancer breast_cancer leukemia leukaemia hiv copd osteoporosis reflux acid_reflux gerd vertigo \
    color_blindness colour_blindness hearing_loss a_pacemaker pacemaker";

pub(super) const NATIONS: &str = "\
    german french italian spanish portuguese dutch belgian swiss austrian danish swedish norwegian finnish \
    icelandic irish scottish welsh english british polish czech slovak hungarian romanian bulgarian greek turkish \
    russian ukrainian serbian croatian bosnian albanian american canadian mexican brazilian argentinian chilean \
    colombian peruvian cuban indian pakistani bangladeshi nepali chinese japanese korean vietnamese thai \
    indonesian malaysian filipino filipina australian egyptian moroccan tunisian algerian nigerian ghanaian \
    kenyan ethiopian south_african israeli lebanese syrian iraqi iranian persian afghan georgian armenian";

pub(super) const LANGUAGES: &str = "\
    english german french italian spanish portuguese dutch danish swedish norwegian finnish icelandic irish gaelic \
    welsh polish czech slovak slovenian hungarian romanian bulgarian greek turkish russian ukrainian serbian \
    croatian bosnian albanian arabic hebrew persian farsi urdu hindi bengali punjabi gujarati marathi tamil telugu \
    kannada malayalam sinhala nepali chinese mandarin cantonese japanese korean vietnamese thai lao khmer burmese \
    indonesian malay tagalog filipino swahili amharic yoruba igbo hausa zulu xhosa afrikaans catalan basque \
    galician latin esperanto estonian latvian lithuanian georgian armenian mongolian tibetan maltese \
    luxembourgish swiss_german asl sign_language";

pub(super) const PASTIMES: &str = "\
    guitar electric_guitar acoustic_guitar bass bass_guitar piano keyboard violin viola cello flute clarinet oboe \
    saxophone sax trumpet trombone drums accordion harp ukulele banjo mandolin harmonica organ recorder chess go \
    bridge poker scrabble backgammon tennis table_tennis badminton squash football soccer basketball baseball \
    softball volleyball handball hockey ice_hockey field_hockey rugby cricket golf lacrosse padel pickleball \
    darts pool billiards snooker dungeons_and_dragons d&d board_games video_games water_polo ultimate_frisbee";

pub(super) const THINGS: &str = "\
    car truck house flat apartment condo garden allotment motorbike motorcycle bike bicycle e-bike scooter boat \
    sailboat yacht farm ranch cabin cottage greenhouse 3d_printer telescope piano camera camper campervan caravan \
    rv van tesla horse_farm shop store bakery restaurant cafe café bookstore business company balcony \
    vegetable_garden backyard pool swimming_pool heat_pump home sauna workshop vineyard drone kayak \
    sewing_machine espresso_machine record_player vinyl_collection driving_licence driver's_license";

pub(super) const WORKS: &str = "\
    finance it tech marketing sales healthcare health_care education logistics construction retail hospitality \
    insurance banking law hr human_resources advertising publishing media journalism accounting consulting \
    manufacturing agriculture farming tourism catering real_estate research academia government aviation pharma \
    biotech robotics cybersecurity security fashion entertainment film television gaming music nursing hospital \
    school bank restaurant library kitchen factory warehouse lab laboratory museum office bakery pharmacy hotel \
    clinic supermarket kindergarten university bookshop bookstore customer_service customer_support public_sector \
    nonprofit startup call_center";

/// Tools by category: `category: entry entry …`, with `_` for a blank.
pub(super) const TOOLS: [(&str, &str); 14] = [
    (
        "editor",
        "neovim nvim vim emacs doom_emacs helix vs_code vscode visual_studio_code visual_studio sublime_text sublime intellij \
        intellij_idea pycharm webstorm rider clion goland android_studio xcode eclipse notepad++ nano zed cursor rstudio jupyter jupyterlab",
    ),
    (
        "os",
        "linux arch_linux arch ubuntu debian fedora nixos gentoo manjaro opensuse linux_mint mint pop!_os popos kali red_hat \
        centos rocky_linux alpine windows windows_10 windows_11 macos mac_os osx freebsd openbsd chromeos wsl wsl2 elementary_os",
    ),
    ("shell", "zsh bash fish nushell powershell tmux wezterm alacritty kitty iterm2 ghostty"),
    (
        "language",
        "python rust java javascript typescript go golang c++ c# kotlin swift ruby php scala haskell elixir erlang ocaml clojure \
        julia r matlab perl lua dart zig fortran cobol f# nim sql vba",
    ),
    (
        "database",
        "postgresql postgres mysql mariadb sqlite mongodb redis cassandra dynamodb oracle sql_server mssql clickhouse \
        elasticsearch neo4j supabase firebase snowflake bigquery duckdb",
    ),
    (
        "framework",
        "react react_native vue svelte sveltekit angular next.js nextjs nuxt django flask fastapi rails ruby_on_rails laravel \
        spring spring_boot express .net asp.net flutter unity unreal unreal_engine godot pytorch tensorflow tailwind \
        tailwindcss bootstrap electron tauri axum actix rocket node node.js deno bun phoenix symfony wordpress",
    ),
    (
        "cloud",
        "aws azure gcp google_cloud digitalocean hetzner heroku vercel netlify cloudflare fly.io linode",
    ),
    (
        "infrastructure",
        "docker podman kubernetes k8s terraform ansible jenkins gitlab github github_actions gitlab_ci nginx caddy \
        apache traefik kafka rabbitmq grafana prometheus nix homebrew git mercurial jj",
    ),
    (
        "browser",
        "firefox chrome google_chrome safari brave vivaldi opera microsoft_edge edge librewolf arc_browser zen_browser",
    ),
    (
        "phone",
        "iphone android pixel google_pixel samsung_galaxy galaxy oneplus fairphone android_phone android_tablet",
    ),
    (
        "computer",
        "macbook macbook_pro macbook_air imac mac_mini mac thinkpad lenovo dell dell_xps surface chromebook raspberry_pi \
        framework_laptop steam_deck ipad",
    ),
    (
        "notes",
        "obsidian notion evernote onenote logseq roam anki todoist trello asana jira linear joplin org-mode zotero",
    ),
    (
        "office",
        "excel word powerpoint google_docs google_sheets libreoffice latex overleaf outlook thunderbird gmail slack discord teams \
        microsoft_teams zoom whatsapp telegram signal",
    ),
    (
        "creative",
        "photoshop lightroom illustrator figma blender gimp inkscape krita procreate canva davinci_resolve premiere \
        premiere_pro final_cut after_effects ableton ableton_live logic_pro fl_studio reaper audacity autocad fusion_360 solidworks \
        freecad sketchup",
    ),
];

/// Capitalised words behind "I'm" that are no names.
pub(super) const NO_NAMES: &str = "\
    sure sorry tired ok okay fine good great well not really just so too very still also here there back in on at \
    done ready happy sad glad afraid aware looking trying working using getting having going thinking wondering new \
    currently now using building writing learning one two the a an my your his her our their this that it all \
    interested curious confused stuck lost pretty quite kind sort always never only about from with without for \
    vegan vegetarian christian muslim jewish buddhist hindu catholic atheist linux windows mac apple google \
    microsoft openai chatgpt claude gemini gpt siri alexa ai john_doe jane_doe foo bar test user admin root nobody \
    someone anyone everyone god batman santa ironman superman out off over up down free single married retired \
    unemployed pregnant sick ill busy bored excited hungry thirsty cold hot old young big small male female gay \
    straight bi trans human alive dead awake asleep home online offline available late early right wrong left \
    certain serious kidding joking guessing assuming hoping planning dying if when because but and or no yes both \
    monday tuesday wednesday thursday friday saturday sunday java python rust react node docker";

/// Nouns that make "a …" a place to live.
pub(super) const ABODES: &str = "\
    village town city suburb suburbs house flat apartment studio farm countryside country area mountains coast island \
    dorm cabin boat houseboat van region district neighbourhood neighborhood us usa uk netherlands philippines states \
    alps bay north south east west northeast northwest southeast southwest midlands condo hostel bungalow cottage \
    ranch valley forest metropolis emirates outskirts";

/// Nouns that make "a …" a workplace.
pub(super) const WORKPLACES: &str = "\
    startup start-up company bank hospital clinic school university college agency studio firm shop store restaurant \
    bakery cafe café hotel library museum factory lab laboratory nonprofit charity ngo consultancy manufacturer \
    government ministry council city airline airport supermarket pharmacy kindergarten insurer insurance newspaper \
    publisher corporation business institute brewery winery farm garage warehouse contractor retailer bookstore \
    bookshop gym practice office nursery zoo theatre theater post carmaker telecom utility foundation studio";

/// Behind "my wife" and "my dog", capitalised in titles or otherwise no name.
pub(super) const VERBISH: &str = "\
    is was has had says said told wants likes loves hates lives works and or who that which will would can could does \
    did asked thinks needs got just also always never i in at on for from with to of are were";

/// Technical nouns behind which a relation or an animal is none.
pub(super) const TECHNICAL: &str = "\
    process node class element div table module theme thread component directory folder repo selector id key record \
    pipeline domain server instance container pod function command script method object column field file branch \
    job task query api service cluster zone";
