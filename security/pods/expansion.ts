/**
 * What a kubelet makes of a command, an argument or a value: `$(NAME)` becomes the variable where there is one, `$$`
 * becomes `$`, and everything else stays. After k8s.io/kubernetes/third_party/forked/golang/expansion.
 */
export function expand(text: string, variables: ReadonlyMap<string, string>): string {
  let out = '';
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] !== '$' || at + 1 >= text.length) {
      out += text[at];
      continue;
    }
    const [read, used] = afterDollar(text.slice(at + 1), variables);
    out += read;
    at += used;
  }
  return out;
}

/** @returns what stands for the `$` and what follows it, and how many characters after the `$` that were */
function afterDollar(rest: string, variables: ReadonlyMap<string, string>): [text: string, used: number] {
  const [first] = rest;
  if (first === '$') return ['$', 1];
  if (first !== '(') return [`$${first}`, 1];
  const end = rest.indexOf(')');
  if (end === -1) return ['$(', 1];
  const name = rest.slice(1, end);
  return [variables.get(name) ?? `$(${name})`, end + 1];
}
