
use builtin;
use str;

set edit:completion:arg-completer[ghascale] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'ghascale'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'ghascale'= {
            cand -c 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --config 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --url 'The organization or repository on GitHub, `https://github.com/acme`; beats the file''s `github.url`'
            cand -o 'How results are printed'
            cand --output 'How results are printed'
            cand --color 'Whether colours are used; `NO_COLOR` is honoured by `auto`'
            cand --max-requests 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3'
            cand -v 'Log what is called to stderr; again for more'
            cand --verbose 'Log what is called to stderr; again for more'
            cand -q 'No progress and no warnings on stderr'
            cand --quiet 'No progress and no warnings on stderr'
            cand --no-cache 'Neither use nor keep what GitHub has answered to earlier runs'
            cand --full 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand status 'Show pending jobs, runners and instances, by pool'
            cand plan 'Show what apply would do, and why'
            cand apply 'Do it'
            cand sandbox 'Try every command in an embedded world, without an account'
            cand completions 'Print a shell''s completion script'
        }
        &'ghascale;status'= {
            cand --source 'Where demand is read; in this version `auto` is `rest`'
            cand --pool 'Only this pool; can be given again'
            cand --watch 'Look again and again, every 30s or as given, until interrupted'
            cand -c 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --config 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --url 'The organization or repository on GitHub, `https://github.com/acme`; beats the file''s `github.url`'
            cand -o 'How results are printed'
            cand --output 'How results are printed'
            cand --color 'Whether colours are used; `NO_COLOR` is honoured by `auto`'
            cand --max-requests 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3'
            cand --jobs 'List each pending job'
            cand -v 'Log what is called to stderr; again for more'
            cand --verbose 'Log what is called to stderr; again for more'
            cand -q 'No progress and no warnings on stderr'
            cand --quiet 'No progress and no warnings on stderr'
            cand --no-cache 'Neither use nor keep what GitHub has answered to earlier runs'
            cand --full 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'ghascale;plan'= {
            cand --source 'Where demand is read; in this version `auto` is `rest`'
            cand --pool 'Only this pool; can be given again'
            cand --out 'Write the plan to a file, for `ghascale apply FILE`; it holds no secret'
            cand -c 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --config 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --url 'The organization or repository on GitHub, `https://github.com/acme`; beats the file''s `github.url`'
            cand -o 'How results are printed'
            cand --output 'How results are printed'
            cand --color 'Whether colours are used; `NO_COLOR` is honoured by `auto`'
            cand --max-requests 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3'
            cand --detailed-exitcode 'Exit with 2 if there is something to do but notes'
            cand -v 'Log what is called to stderr; again for more'
            cand --verbose 'Log what is called to stderr; again for more'
            cand -q 'No progress and no warnings on stderr'
            cand --quiet 'No progress and no warnings on stderr'
            cand --no-cache 'Neither use nor keep what GitHub has answered to earlier runs'
            cand --full 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'ghascale;apply'= {
            cand --source 'Where demand is read; in this version `auto` is `rest`'
            cand --pool 'Only this pool; can be given again'
            cand -c 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --config 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --url 'The organization or repository on GitHub, `https://github.com/acme`; beats the file''s `github.url`'
            cand -o 'How results are printed'
            cand --output 'How results are printed'
            cand --color 'Whether colours are used; `NO_COLOR` is honoured by `auto`'
            cand --max-requests 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3'
            cand -y 'Don''t ask'
            cand --yes 'Don''t ask'
            cand -v 'Log what is called to stderr; again for more'
            cand --verbose 'Log what is called to stderr; again for more'
            cand -q 'No progress and no warnings on stderr'
            cand --quiet 'No progress and no warnings on stderr'
            cand --no-cache 'Neither use nor keep what GitHub has answered to earlier runs'
            cand --full 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'ghascale;sandbox'= {
            cand -c 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --config 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --url 'The organization or repository on GitHub, `https://github.com/acme`; beats the file''s `github.url`'
            cand -o 'How results are printed'
            cand --output 'How results are printed'
            cand --color 'Whether colours are used; `NO_COLOR` is honoured by `auto`'
            cand --max-requests 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3'
            cand -v 'Log what is called to stderr; again for more'
            cand --verbose 'Log what is called to stderr; again for more'
            cand -q 'No progress and no warnings on stderr'
            cand --quiet 'No progress and no warnings on stderr'
            cand --no-cache 'Neither use nor keep what GitHub has answered to earlier runs'
            cand --full 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand serve 'Keep a world up, and print what to export'
        }
        &'ghascale;sandbox;serve'= {
            cand --port 'The port on 127.0.0.1; 0 takes a free one'
            cand --scenario 'What the world starts with'
            cand -c 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --config 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --url 'The organization or repository on GitHub, `https://github.com/acme`; beats the file''s `github.url`'
            cand -o 'How results are printed'
            cand --output 'How results are printed'
            cand --color 'Whether colours are used; `NO_COLOR` is honoured by `auto`'
            cand --max-requests 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3'
            cand -v 'Log what is called to stderr; again for more'
            cand --verbose 'Log what is called to stderr; again for more'
            cand -q 'No progress and no warnings on stderr'
            cand --quiet 'No progress and no warnings on stderr'
            cand --no-cache 'Neither use nor keep what GitHub has answered to earlier runs'
            cand --full 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'ghascale;completions'= {
            cand -c 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --config 'The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`'
            cand --url 'The organization or repository on GitHub, `https://github.com/acme`; beats the file''s `github.url`'
            cand -o 'How results are printed'
            cand --output 'How results are printed'
            cand --color 'Whether colours are used; `NO_COLOR` is honoured by `auto`'
            cand --max-requests 'Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3'
            cand -v 'Log what is called to stderr; again for more'
            cand --verbose 'Log what is called to stderr; again for more'
            cand -q 'No progress and no warnings on stderr'
            cand --quiet 'No progress and no warnings on stderr'
            cand --no-cache 'Neither use nor keep what GitHub has answered to earlier runs'
            cand --full 'Look at every repository, however long it takes; in large scopes they take turns otherwise'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
    ]
    $completions[$command]
}
