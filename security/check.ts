import { type Check, judge, type Outcome } from '../faults/scenario.ts';

export { type Check, judge, type Outcome };

/** What the checks of one run are told. */
export interface Options {
  /** Small enough for every run of the tests; otherwise the sizes that the README speaks of. */
  readonly quick: boolean;
  /** Audit logs of API servers (JSON lines) on which Bulkhead did all that it does. Empty: rights are not compared. */
  readonly audit: readonly string[];
  /** Whom an audit log must speak of, as the API server names them. */
  readonly user: string;
  /** The folder below manifests/ by which the operator of the audit logs was installed. */
  readonly installation: string;
}

/** One thing that must hold, shown on real inputs and by a judge that is not ours wherever there is one. */
export interface SecurityCheck {
  /** Rows of "Security" in the list of faults that this project answers to. */
  readonly row: string;
  readonly name: string;
  /** A sentence. */
  readonly what: string;
  /** @throws Error when it cannot be found out: a failure like any other */
  readonly run: (options: Options) => Promise<Outcome>;
}

const MAX_NAMED = 20;

/** Findings as an outcome: none is a pass. Each is named, but not thousands of them. */
export function noFindings(
  findings: readonly string[],
  parts: Pick<Outcome, 'figure' | 'limit'> & { readonly detail?: Outcome['detail'] },
): Outcome {
  const named = findings.slice(0, MAX_NAMED);
  const rest = findings.length - named.length;
  const checks: Check[] = named.map((what) => ({ what, held: false }));
  if (rest > 0) checks.push({ what: `and ${rest} more`, held: false });
  return judge(checks, parts);
}

/** `1,234`. */
export const count = (value: number): string => value.toLocaleString('en-US');
