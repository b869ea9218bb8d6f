"""Completion scripts for bash, zsh and fish, made of what the command line takes.

Rule: a script starts no Python and asks no server. Model names come from the file that `models` has written
(model_names.py), which holds no character that a shell could take for anything else.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from streaming_chat.cli import PROGRAM
from streaming_chat.cli.argument_parser import FILE, FOLDER, MODEL
from streaming_chat.cli.specification import HELP_OPTIONS, Argument, every, global_options, specifications

_FUNCTION: Final = "_streaming_chat"


def bash(names: Path) -> str:
    """Return the script for bash 3.2 and later; `names` is the file of model names."""
    return _for_bash_and_zsh(_BASH, names)


def zsh(names: Path) -> str:
    """Return the script for zsh."""
    return _for_bash_and_zsh(_ZSH, names)


def fish(names: Path) -> str:
    """Return the script for fish."""
    lines = [f"# Completion of {PROGRAM} for fish.", f"complete -c {PROGRAM} -f"]
    commands = specifications()
    words = " ".join(one.words[0] for one in commands)
    unseen = f"not __fish_seen_subcommand_from {words}"
    lines += [_fish(unseen, f"-a {one.words[0]}", one.help) for one in commands]
    for one in every(commands):
        for action in one.actions:
            taken = " ".join(other.words[-1] for other in one.actions)
            seen = f"__fish_seen_subcommand_from {one.words[0]}; and not __fish_seen_subcommand_from {taken}"
            lines.append(_fish(seen, f"-a {action.words[-1]}", action.help))
        condition = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in one.words)
        lines += [_fish(condition, _fish_argument(argument, names), argument.help) for argument in one.arguments]
    lines += [_fish(None, _fish_argument(one, names), one.help) for one in (*global_options(), *HELP_OPTIONS)]
    return "\n".join(line for line in lines if line) + "\n"


#: Shell → what makes its script.
SHELLS: Final[Mapping[str, Callable[[Path], str]]] = {"bash": bash, "fish": fish, "zsh": zsh}


def _fish(condition: str | None, arguments: str, text: str) -> str:
    if not arguments:
        return ""
    when = f" -n {_fish_quoted(condition)}" if condition else ""
    return f"complete -c {PROGRAM}{when} {arguments} -d {_fish_quoted(text)}"


def _fish_argument(argument: Argument, names: Path) -> str:
    flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in argument.flags)
    if argument.flags and argument.metavar is None:
        return flags
    values = {
        FILE: "-F",
        FOLDER: "-a '(__fish_complete_directories (commandline -ct))'",
        MODEL: f"-a {_fish_quoted(f'(cat {_fish_quoted(str(names))} 2>/dev/null)')}",
        None: "",
    }
    completion = argument.completion
    value = values[completion] if not isinstance(completion, tuple) else f"-a {_fish_quoted(' '.join(completion))}"
    return f"{flags} {'-r' if completion == FILE else '-x'} {value}".strip() if flags else value


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _for_bash_and_zsh(template: str, names: Path) -> str:
    commands = specifications()
    found = list(every(commands))
    everywhere = (*global_options(), *HELP_OPTIONS)
    words = [(" ".join(one.words), [action.words[-1] for action in one.actions]) for one in found]
    words.insert(0, ("", [one.words[0] for one in commands]))
    options = [(" ".join(one.words), _flags(one.options)) for one in found]
    values = [(" ".join(one.words), argument) for one in found for argument in one.options if argument.metavar]
    values += [("*", argument) for argument in everywhere if argument.metavar]
    positional = [
        (f"{shlex.quote(' '.join(one.words))}:{'*' if argument.is_repeated else place}", argument)
        for one in found
        for place, argument in enumerate(one.positional)
    ]
    own = [argument for one in found for argument in one.options]
    parts = {
        "@PROGRAM@": PROGRAM,
        "@FUNCTION@": _FUNCTION,
        "@NAMES@": shlex.quote(str(names)),
        "@COMMANDS@": "|".join(one.words[0] for one in commands),
        "@GLOBAL@": " ".join(_flags(everywhere)),
        "@WITH_VALUE@": "|".join(sorted(_flags(one for one in (*everywhere, *own) if one.metavar))),
        "@ACTIONS@": "\n".join(f"    {shlex.quote(key)}) reply='{' '.join(some)}' ;;" for key, some in words if some),
        "@OPTIONS@": "\n".join(f"    {shlex.quote(key)}) reply='{' '.join(some)}' ;;" for key, some in options if some),
        "@VALUES@": "\n".join(_value_case(key, one) for key, one in values),
        "@POSITIONAL@": "\n".join(_case(key, one.completion) for key, one in positional if one.completion),
        "@WITH_ACTIONS@": "|".join(f"{one.words[0]}:" for one in commands if one.actions),
    }
    for name, text in parts.items():
        template = template.replace(name, text)
    return template


def _flags(arguments: Iterable[Argument]) -> list[str]:
    return [flag for one in arguments for flag in one.flags]


def _value_case(key: str, argument: Argument) -> str:
    patterns = "|".join(f"{key}:{flag}" if key == "*" else f"{shlex.quote(key)}:{flag}" for flag in argument.flags)
    return _case(patterns, argument.completion)


def _case(patterns: str, completion: str | tuple[str, ...] | None) -> str:
    kind = completion if isinstance(completion, str) else "words" if completion else "nothing"
    words = f" reply='{' '.join(completion)}'" if isinstance(completion, tuple) else ""
    return f"    {patterns}) kind={kind}{words} ;;"


# What both shells share: which command and action the line up to the cursor has, and what completes its last word.
_COMMON = r"""
@FUNCTION@_line() {
  # Sets command, action, previous, current, ended, assigned (--option=value) and place, the number of words after the
  # command and its action.
  local word skip=
  command= action= previous= ended= assigned= place=0
  current=${1##*[[:space:]]}
  set -f
  for word in ${1%"$current"}; do
    previous=$word
    if [ -n "$first" ]; then first=; continue; fi
    if [ -n "$skip" ]; then skip=; continue; fi
    case $word in
      --) ended=1 ;;
      @WITH_VALUE@) skip=1 ;;
      --*) ;;
      -??*)
        # Short options in one word: a value belongs to the last one.
        previous=-${word#"${word%?}"}
        case $previous in @WITH_VALUE@) skip=1 ;; esac ;;
      -*) ;;
      *)
        if [ -n "$ended" ]; then :
        elif [ -z "$command" ]; then
          case $word in @COMMANDS@) command=$word ;; *) command=- ;; esac
        else
          case $command:$action in
            @WITH_ACTIONS@) action=$word ;;
            *) place=$((place + 1)) ;;
          esac
        fi ;;
    esac
  done
  set +f
  case $current in
    --*=*) previous=${current%%=*} current=${current#*=} assigned=1 ;;
  esac
}

@FUNCTION@_kind() {
  # Sets kind (words, file, folder, model, nothing) and reply, the words.
  local key=$command${action:+ $action}
  kind= reply=
  [ -z "$ended" ] || { kind=nothing; return; }
  case $key:$previous in
@VALUES@
  esac
  [ -z "$kind" ] || return
  case $current in
    -*)
      kind=words
      case $key in
@OPTIONS@
      esac
      reply="$reply @GLOBAL@"
      return ;;
  esac
  case $key in
@ACTIONS@
  esac
  [ -n "$reply" ] || case $key:$place in
@POSITIONAL@
  esac
  [ -n "$kind" ] || kind=words
}
"""

_BASH = (
    "# Completion of @PROGRAM@ for bash.\n"
    + _COMMON
    + r"""
@FUNCTION@() {
  local line=${COMP_LINE:0:COMP_POINT} first=1 command action previous current ended assigned place kind reply word prefix
  COMPREPLY=()
  @FUNCTION@_line "$line"
  @FUNCTION@_kind
  # Bash has divided the word at these: what comes before the last of them stays.
  prefix=${current%"${current##*[:=]}"}
  case $kind in
    file)
      compopt -o filenames 2>/dev/null
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$current") ;;
    folder)
      compopt -o filenames 2>/dev/null
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -d -- "$current") ;;
    model)
      [ -r @NAMES@ ] || return
      while IFS= read -r word; do
        case $word in "$current"*) COMPREPLY+=("${word#"$prefix"}") ;; esac
      done < @NAMES@ ;;
    words) for word in $reply; do case $word in "$current"*) COMPREPLY+=("$word") ;; esac; done ;;
  esac
}
complete -F @FUNCTION@ @PROGRAM@
"""
)

_ZSH = (
    "#compdef @PROGRAM@\n# Completion of @PROGRAM@ for zsh.\n"
    + _COMMON
    + r"""
@FUNCTION@_read() {
  # The lines above are for any shell: words are divided, and no pattern is a file.
  setopt localoptions shwordsplit noglob
  @FUNCTION@_line "$1"
  @FUNCTION@_kind
}

@FUNCTION@() {
  local first=1 command action previous current ended assigned place kind reply
  @FUNCTION@_read "${words[1,CURRENT-1]} $PREFIX"
  [ -z "$assigned" ] || compset -P '*='
  case $kind in
    file) _files ;;
    folder) _files -/ ;;
    model) [ ! -r @NAMES@ ] || compadd -- ${(f)"$(<@NAMES@)"} ;;
    words) compadd -- ${=reply} ;;
  esac
}
if [ "${funcstack[1]}" = "@FUNCTION@" ]; then
  @FUNCTION@ "$@"
else
  compdef @FUNCTION@ @PROGRAM@
fi
"""
)
