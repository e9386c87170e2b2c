# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ghascale_global_optspecs
    string join \n c/config= url= o/output= color= v/verbose q/quiet no-cache full max-requests= h/help V/version
end

function __fish_ghascale_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_ghascale_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_ghascale_using_subcommand
    set -l cmd (__fish_ghascale_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c ghascale -n "__fish_ghascale_needs_command" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_needs_command" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_needs_command" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_needs_command" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_needs_command" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_needs_command" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_needs_command" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_needs_command" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_needs_command" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_needs_command" -s V -l version -d 'Print version'
complete -c ghascale -n "__fish_ghascale_needs_command" -f -a "status" -d 'Show pending jobs, runners and instances, by pool'
complete -c ghascale -n "__fish_ghascale_needs_command" -f -a "compare" -d 'Show what REST counts beside what the scale sets count, and the cause of every difference'
complete -c ghascale -n "__fish_ghascale_needs_command" -f -a "scale-set" -d 'List, show, create, update and delete runner scale sets'
complete -c ghascale -n "__fish_ghascale_needs_command" -f -a "plan" -d 'Show what apply would do, and why'
complete -c ghascale -n "__fish_ghascale_needs_command" -f -a "apply" -d 'Do it'
complete -c ghascale -n "__fish_ghascale_needs_command" -f -a "listen" -d 'Do it in real time, at every message of the scale sets'
complete -c ghascale -n "__fish_ghascale_needs_command" -f -a "explain" -d 'Show why a job is being run, or is not'
complete -c ghascale -n "__fish_ghascale_needs_command" -f -a "sandbox" -d 'Try every command in an embedded world, without an account'
complete -c ghascale -n "__fish_ghascale_needs_command" -f -a "completions" -d 'Print a shell\'s completion script'
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -l source -d 'Where demand is read, whatever the pools\' `source`: `auto` is a scale set if it answers, else REST' -r -f -a "auto\t'The scale set where there is one, else REST'
rest\t'The REST API\'s runs and jobs'
scale-set\t'The pools\' scale sets, and nothing else'"
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -l pool -d 'Only this pool; can be given again' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -l watch -d 'Look again and again, every 30s or as given, until interrupted' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -l jobs -d 'List each pending job'
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand compare" -l pool -d 'Only this pool, or without a configuration file, this scale set; can be given again' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand compare" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand compare" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand compare" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand compare" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand compare" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand compare" -l exit-code -d 'Exit with 2 if there are differences'
complete -c ghascale -n "__fish_ghascale_using_subcommand compare" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand compare" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand compare" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand compare" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand compare" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -f -a "list" -d 'List the scope\'s scale sets, with their counts'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -f -a "show" -d 'Show one scale set'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -f -a "create" -d 'Create the scale set of a pool, with the pool\'s labels, in the pool\'s runner group'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -f -a "update" -d 'Give the scale set of a pool the pool\'s labels'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and not __fish_seen_subcommand_from list show create update delete" -f -a "delete" -d 'Delete a scale set'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from list" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from list" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from list" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from list" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from list" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from list" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from list" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from list" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from show" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from show" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from show" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from show" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from show" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from show" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from show" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from show" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from create" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from create" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from create" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from create" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from create" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from create" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from create" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from create" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from create" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from update" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from update" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from update" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from update" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from update" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from update" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from update" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from update" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from update" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from update" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from delete" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from delete" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from delete" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from delete" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from delete" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from delete" -s y -l yes -d 'Don\'t ask'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from delete" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from delete" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from delete" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand scale-set; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -l source -d 'Where demand is read, whatever the pools\' `source`: `auto` is a scale set if it answers, else REST' -r -f -a "auto\t'The scale set where there is one, else REST'
rest\t'The REST API\'s runs and jobs'
scale-set\t'The pools\' scale sets, and nothing else'"
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -l pool -d 'Only this pool; can be given again' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -l out -d 'Write the plan to a file, for `ghascale apply FILE`; it holds no secret' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -l detailed-exitcode -d 'Exit with 2 if there is something to do but notes'
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -l source -d 'Where demand is read, whatever the pools\' `source`: `auto` is a scale set if it answers, else REST' -r -f -a "auto\t'The scale set where there is one, else REST'
rest\t'The REST API\'s runs and jobs'
scale-set\t'The pools\' scale sets, and nothing else'"
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -l pool -d 'Only this pool; can be given again' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -s y -l yes -d 'Don\'t ask'
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -l pool -d 'Only this pool; can be given again' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -l metrics -d 'Serve Prometheus metrics at `/metrics` and the health of the sessions at `/healthz`, on this address' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -l interval -d 'How often everything is looked at; launches for scale sets don\'t wait for it' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand listen" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand explain" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand explain" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand explain" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand explain" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand explain" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand explain" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand explain" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand explain" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand explain" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and not __fish_seen_subcommand_from serve" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and not __fish_seen_subcommand_from serve" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and not __fish_seen_subcommand_from serve" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and not __fish_seen_subcommand_from serve" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and not __fish_seen_subcommand_from serve" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and not __fish_seen_subcommand_from serve" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and not __fish_seen_subcommand_from serve" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and not __fish_seen_subcommand_from serve" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and not __fish_seen_subcommand_from serve" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and not __fish_seen_subcommand_from serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and not __fish_seen_subcommand_from serve" -f -a "serve" -d 'Keep a world up, and print what to export'
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and __fish_seen_subcommand_from serve" -l port -d 'The port on 127.0.0.1; 0 takes a free one' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and __fish_seen_subcommand_from serve" -l scenario -d 'What the world starts with: `acme`, `empty`, `scale-sets`, or the path of a scenario file' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and __fish_seen_subcommand_from serve" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and __fish_seen_subcommand_from serve" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and __fish_seen_subcommand_from serve" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and __fish_seen_subcommand_from serve" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and __fish_seen_subcommand_from serve" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and __fish_seen_subcommand_from serve" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and __fish_seen_subcommand_from serve" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and __fish_seen_subcommand_from serve" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and __fish_seen_subcommand_from serve" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand sandbox; and __fish_seen_subcommand_from serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ghascale -n "__fish_ghascale_using_subcommand completions" -s c -l config -d 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`' -r -F
complete -c ghascale -n "__fish_ghascale_using_subcommand completions" -l url -d 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file\'s `github.url`' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand completions" -s o -l output -d 'How results are printed' -r -f -a "table\t'Tables, for people'
json\t'One JSON object, for scripts'"
complete -c ghascale -n "__fish_ghascale_using_subcommand completions" -l color -d 'Whether colours are used; `NO_COLOR` is honoured by `auto`' -r -f -a "auto\t'On a terminal'
always\t'Always'
never\t'Never'"
complete -c ghascale -n "__fish_ghascale_using_subcommand completions" -l max-requests -d 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3' -r
complete -c ghascale -n "__fish_ghascale_using_subcommand completions" -s v -l verbose -d 'Log what is called to stderr; again for more'
complete -c ghascale -n "__fish_ghascale_using_subcommand completions" -s q -l quiet -d 'No progress and no warnings on stderr'
complete -c ghascale -n "__fish_ghascale_using_subcommand completions" -l no-cache -d 'Neither use nor keep what GitHub has answered to earlier runs'
complete -c ghascale -n "__fish_ghascale_using_subcommand completions" -l full -d 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
complete -c ghascale -n "__fish_ghascale_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
