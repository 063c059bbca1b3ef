import type { Request } from './audit.ts';
import { covers, type Right, rightText } from './rights.ts';

/** Granted = used, both ways. */
export interface Comparison {
  readonly neverUsed: readonly Right[];
  /** What was asked for and refused: every such call is a right that is missing or a call that is too much. */
  readonly notGranted: readonly Right[];
  /** Rights that another one contains. */
  readonly grantedTwice: readonly Right[];
}

/** What Kubernetes itself grants to everybody who has logged in (system:basic-user, system:discovery). */
const EVERYBODYS =
  /^(create (selfsubjectaccessreviews|selfsubjectrulesreviews)\.authorization\.k8s\.io|create selfsubjectreviews\.authentication\.k8s\.io|get \/(api|apis|healthz|livez|readyz|openapi|version)(\/.*)?)$/;

const isEverybodys = (right: Right): boolean => EVERYBODYS.test(rightText({ ...right, namespace: '*', name: '*' }));

/** Each right that differs from the others in its text, once. */
const unique = (rights: readonly Right[]): Right[] => [
  ...new Map(rights.map((right) => [rightText(right), right])).values(),
];

export function compare(granted: readonly Right[], requests: readonly Request[]): Comparison {
  const used = requests.map(({ right }) => right).filter((right) => !isEverybodys(right));
  const refused = requests.filter(({ allowed }) => !allowed).map(({ right }) => right);
  const uncovered = used.filter((right) => !granted.some((one) => covers(one, right)));
  return {
    neverUsed: granted.filter((right) => !used.some((one) => covers(right, one))),
    // By kind, not by object: a thousand refused cells are one missing right.
    notGranted: unique([...refused, ...uncovered].map((right) => ({ ...right, name: '*', namespace: '*' }))),
    grantedTwice: granted.filter((right, index) =>
      granted.some((other, at) => at !== index && covers(other, right) && !(covers(right, other) && index < at)),
    ),
  };
}

/** Rights that differ in their verb alone, as one text: `get, patch configmaps fence in bulkhead-system`. */
function grouped(rights: readonly Right[]): string[] {
  const verbs = new Map<string, string[]>();
  for (const right of rights) {
    const what = rightText({ ...right, verb: '' }).trim();
    verbs.set(what, [...(verbs.get(what) ?? []), right.verb]);
  }
  return [...verbs].map(([what, some]) => `${some.join(', ')} ${what}`);
}

/** Sentences; empty when rights and use are the same. */
export const comparisonFindings = ({ neverUsed, notGranted, grantedTwice }: Comparison): string[] => [
  ...grouped(neverUsed).map((rights) => `granted and never used: ${rights}`),
  ...grouped(notGranted).map((rights) => `asked for and not granted: ${rights}`),
  ...grouped(grantedTwice).map((rights) => `granted twice: ${rights}`),
];
