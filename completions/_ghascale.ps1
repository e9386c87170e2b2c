
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'ghascale' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'ghascale'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'ghascale' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show pending jobs, runners and instances, by pool')
            [CompletionResult]::new('compare', 'compare', [CompletionResultType]::ParameterValue, 'Show what REST counts beside what the scale sets count, and the cause of every difference')
            [CompletionResult]::new('scale-set', 'scale-set', [CompletionResultType]::ParameterValue, 'List, show, create, update and delete runner scale sets')
            [CompletionResult]::new('plan', 'plan', [CompletionResultType]::ParameterValue, 'Show what apply would do, and why')
            [CompletionResult]::new('apply', 'apply', [CompletionResultType]::ParameterValue, 'Do it')
            [CompletionResult]::new('listen', 'listen', [CompletionResultType]::ParameterValue, 'Do it in real time, at every message of the scale sets')
            [CompletionResult]::new('explain', 'explain', [CompletionResultType]::ParameterValue, 'Show why a job is being run, or is not')
            [CompletionResult]::new('sandbox', 'sandbox', [CompletionResultType]::ParameterValue, 'Try every command in an embedded world, without an account')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a shell''s completion script')
            break
        }
        'ghascale;status' {
            [CompletionResult]::new('--source', '--source', [CompletionResultType]::ParameterName, 'Where demand is read, whatever the pools'' `source`: `auto` is a scale set if it answers, else REST')
            [CompletionResult]::new('--pool', '--pool', [CompletionResultType]::ParameterName, 'Only this pool; can be given again')
            [CompletionResult]::new('--watch', '--watch', [CompletionResultType]::ParameterName, 'Look again and again, every 30s or as given, until interrupted')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'List each pending job')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'ghascale;compare' {
            [CompletionResult]::new('--pool', '--pool', [CompletionResultType]::ParameterName, 'Only this pool, or without a configuration file, this scale set; can be given again')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('--exit-code', '--exit-code', [CompletionResultType]::ParameterName, 'Exit with 2 if there are differences')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'ghascale;scale-set' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the scope''s scale sets, with their counts')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one scale set')
            [CompletionResult]::new('create', 'create', [CompletionResultType]::ParameterValue, 'Create the scale set of a pool, with the pool''s labels, in the pool''s runner group')
            [CompletionResult]::new('update', 'update', [CompletionResultType]::ParameterValue, 'Give the scale set of a pool the pool''s labels')
            [CompletionResult]::new('delete', 'delete', [CompletionResultType]::ParameterValue, 'Delete a scale set')
            break
        }
        'ghascale;scale-set;list' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'ghascale;scale-set;show' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'ghascale;scale-set;create' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'ghascale;scale-set;update' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'ghascale;scale-set;delete' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-y', '-y', [CompletionResultType]::ParameterName, 'Don''t ask')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Don''t ask')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'ghascale;plan' {
            [CompletionResult]::new('--source', '--source', [CompletionResultType]::ParameterName, 'Where demand is read, whatever the pools'' `source`: `auto` is a scale set if it answers, else REST')
            [CompletionResult]::new('--pool', '--pool', [CompletionResultType]::ParameterName, 'Only this pool; can be given again')
            [CompletionResult]::new('--out', '--out', [CompletionResultType]::ParameterName, 'Write the plan to a file, for `ghascale apply FILE`; it holds no secret')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('--detailed-exitcode', '--detailed-exitcode', [CompletionResultType]::ParameterName, 'Exit with 2 if there is something to do but notes')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'ghascale;apply' {
            [CompletionResult]::new('--source', '--source', [CompletionResultType]::ParameterName, 'Where demand is read, whatever the pools'' `source`: `auto` is a scale set if it answers, else REST')
            [CompletionResult]::new('--pool', '--pool', [CompletionResultType]::ParameterName, 'Only this pool; can be given again')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-y', '-y', [CompletionResultType]::ParameterName, 'Don''t ask')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Don''t ask')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'ghascale;listen' {
            [CompletionResult]::new('--pool', '--pool', [CompletionResultType]::ParameterName, 'Only this pool; can be given again')
            [CompletionResult]::new('--metrics', '--metrics', [CompletionResultType]::ParameterName, 'Serve Prometheus metrics at `/metrics` and the health of the sessions at `/healthz`, on this address')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'How often everything is looked at; launches for scale sets don''t wait for it')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'ghascale;explain' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'ghascale;sandbox' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Keep a world up, and print what to export')
            break
        }
        'ghascale;sandbox;serve' {
            [CompletionResult]::new('--port', '--port', [CompletionResultType]::ParameterName, 'The port on 127.0.0.1; 0 takes a free one')
            [CompletionResult]::new('--scenario', '--scenario', [CompletionResultType]::ParameterName, 'What the world starts with: `acme`, `empty`, `scale-sets`, or the path of a scenario file')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'ghascale;completions' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`')
            [CompletionResult]::new('--url', '--url', [CompletionResultType]::ParameterName, 'The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file''s `github.url`')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'How results are printed')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Whether colours are used; `NO_COLOR` is honoured by `auto`')
            [CompletionResult]::new('--max-requests', '--max-requests', [CompletionResultType]::ParameterName, 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log what is called to stderr; again for more')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'No progress and no warnings on stderr')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Neither use nor keep what GitHub has answered to earlier runs')
            [CompletionResult]::new('--full', '--full', [CompletionResultType]::ParameterName, 'Look at every repository, however long it takes; in large scopes they take turns otherwise')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
