import type { Json } from './canonical.ts';
import { checkDocument } from './check.ts';
import { JOB_DEFINITION } from './check-job.ts';
import type { JobName } from './ids.ts';
import { PlainDocument } from './plain-document.ts';
import { formatPath, shownText } from './problem.ts';
import { API_VERSION, type JobSpec, KIND } from './spec.ts';

export type CheckedObject =
  | { readonly kind: 'spec'; readonly spec: JobSpec }
  /** Sentences, each with its field: what was found and what was expected. */
  | { readonly kind: 'wrong'; readonly problems: readonly string[] };

/**
 * Checks a StreamJob that came as an object of Kubernetes, whose schema let it in: by the same rules as a file, since
 * the schema in the cluster may be older or newer than ours, and some rules no schema can say.
 */
export function checkObject(job: JobName, spec: unknown): CheckedObject {
  const value = {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: { name: job.name, namespace: job.tenant },
    // What was read as JSON is JSON. A copy, since misspelt fields are renamed while they are looked at.
    spec: structuredClone(spec ?? null) as Json,
  };
  const checked = checkDocument(new PlainDocument(value, 0, new Map(), [], []), JOB_DEFINITION);
  if (checked.value) return { kind: 'spec', spec: checked.value.spec };
  const problems = checked.findings.map(({ path, message }) => shownText(`${formatPath(path)}: ${message}`));
  return { kind: 'wrong', problems: problems.length > 0 ? problems : ['spec: expected what a StreamJob says'] };
}
