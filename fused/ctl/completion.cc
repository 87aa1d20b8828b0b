#include "fused/ctl/completion.h"

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"

namespace fused::ctl {
namespace {

constexpr std::string_view kBash = R"(# fusedctl(1) completion for bash
_fusedctl() {
  local current=$${COMP_WORDS[COMP_CWORD]} command= word before= words=
  for word in "$${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    # A flag's value is a word of its own, behind "=".
    case $$before:$$word in
      *:-* | *:= | =:* ) ;;
      *) command=$$word; break ;;
    esac
    before=$$word
  done
  case $$command in
$0  esac
  COMPREPLY=($$(compgen -W "$$words" -- "$$current"))
  if [[ $${COMPREPLY[0]-} == *= ]]; then
    compopt -o nospace 2>/dev/null || :
  fi
}
complete -o default -F _fusedctl fusedctl
)";

constexpr std::string_view kZsh = R"(#compdef fusedctl
# fusedctl(1) completion for zsh
_fusedctl() {
  local command= word
  local -a offered
  for word in $${words[2,CURRENT-1]}; do
    if [[ $$word != -* ]]; then
      command=$$word
      break
    fi
  done
  case $$command in
$0  esac
  compadd -S '' -- $${(M)offered:#*=}
  compadd -- $${offered:#*=}
  if [[ -n $$command ]]; then
    _files
  fi
}
_fusedctl "$$@"
)";

// "--dry_run", or "--uid=" where a value follows.
std::string Offer(std::string_view name) {
  const absl::CommandLineFlag* const flag = absl::FindCommandLineFlag(name);
  const bool takes = flag == nullptr || !flag->IsOfType<bool>();
  return absl::StrCat("--", name, takes ? "=" : "");
}

}  // namespace

std::string Completion(std::string_view shell,
                       const std::vector<Command>& commands) {
  if (shell != "bash" && shell != "zsh") return "";
  const bool bash = shell == "bash";
  const auto row = [bash](std::string_view pattern, std::string_view words) {
    return bash ? absl::StrCat("    ", pattern, ") words='", words, "' ;;\n")
                : absl::StrCat("    ", pattern, ") offered=(", words, ") ;;\n");
  };
  const std::string common =
      absl::StrCat(Offer("control"), " ", Offer("json"), " --help");
  std::string first = common;
  std::string rows;
  for (const Command& command : commands) {
    absl::StrAppend(&first, " ", command.name);
    std::string words = common;
    for (const std::string_view flag : command.flags) {
      absl::StrAppend(&words, " ", Offer(flag));
    }
    absl::StrAppend(&rows, row(command.name, words));
  }
  return absl::Substitute(bash ? kBash : kZsh,
                          absl::StrCat(row("''", first), rows));
}

}  // namespace fused::ctl
