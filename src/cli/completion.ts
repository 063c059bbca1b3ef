import { Argument, type Command } from 'commander';
import { print } from './output.ts';

/** Scripts for shells. Each only asks `bulkhead __complete`, so that they never grow old. */

const BASH = `# bash completion for bulkhead: source <(bulkhead completion bash)
_bulkhead() {
  local current=\${COMP_WORDS[COMP_CWORD]} value text directive=
  COMPREPLY=()
  while IFS=$'\\t' read -r value text; do
    if [[ $value == :* ]]; then directive=$value
    elif [[ $value == "$current"* ]]; then COMPREPLY+=("$value"); fi
  done < <(bulkhead __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [[ $directive == :0 ]]; then compopt -o default; fi
}
complete -F _bulkhead bulkhead
`;

const ZSH = `#compdef bulkhead
# zsh completion for bulkhead: source <(bulkhead completion zsh), after compinit
_bulkhead() {
  local -a lines candidates
  local directive
  lines=("\${(@f)$(bulkhead __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  directive=$lines[-1]
  lines[-1]=()
  candidates=("\${(@)lines//:/\\\\:}")
  candidates=("\${(@)candidates/$'\\t'/:}")
  if [[ $directive == :0 ]]; then _files; else _describe bulkhead candidates; fi
}
compdef _bulkhead bulkhead
`;

const FISH = `# fish completion for bulkhead: bulkhead completion fish | source
function __bulkhead_candidates
  set -l words (commandline -opc) (commandline -ct)
  bulkhead __complete $words[2..] 2>/dev/null | string match -v -r '^:\\d+$'
end
complete -c bulkhead -f -a '(__bulkhead_candidates)'
complete -c bulkhead -s f -l filename -r -F
complete -c bulkhead -l kubeconfig -r -F
`;

export const SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH };

export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .description(
      "Print a shell's completion, such as for: source <(bulkhead completion bash). For `kubectl bulkhead` kubectl's own completes, with kubectl_complete-bulkhead on the PATH",
    )
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(SCRIPTS)))
    .action((shell: keyof typeof SCRIPTS) => print(SCRIPTS[shell]));
}
