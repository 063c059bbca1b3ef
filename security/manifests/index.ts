import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { noFindings, type Outcome, type SecurityCheck } from '../check.ts';
import { EXCEPTIONS, kubeScore } from './kube-score.ts';
import { kubeconform } from './kubeconform.ts';
import { everyInstallation, type Manifest } from './render.ts';

const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url));

const isCrd = ({ kind }: Manifest): boolean => kind === 'CustomResourceDefinition';

const exampleFiles = (): string[] => readdirSync(EXAMPLES).filter((name) => /\.ya?ml$/.test(name));

/** Whether a CRD's schema lets fields in that nobody described: Kubernetes would keep them, and nobody checked them. */
export const keepsUnknown = (crd: unknown): boolean =>
  JSON.stringify(crd).includes('"x-kubernetes-preserve-unknown-fields":true');

async function run(): Promise<Outcome> {
  const rendered = await everyInstallation();
  const crds = rendered.flatMap(({ objects }) => objects.filter(isCrd));
  const findings: string[] = crds
    .filter(keepsUnknown)
    .map(({ metadata }) => `the schema of ${metadata.name} takes unknown fields`);
  const excepted = new Set<string>();
  let [checks, valid] = [0, 0];
  for (const { name, yaml } of rendered) {
    const [score, conformity] = [await kubeScore(yaml), await kubeconform(yaml, crds)];
    for (const id of score.excepted) excepted.add(id);
    checks += score.checks;
    valid += conformity.valid;
    findings.push(...score.findings.map((what) => `${name}: kube-score: ${what}`));
    findings.push(...conformity.findings.map((what) => `${name}: kubeconform: ${what}`));
  }
  // Without the CRD nobody could say what an example must look like.
  for (const file of crds.length > 0 ? exampleFiles() : []) {
    const conformity = await kubeconform(readFileSync(join(EXAMPLES, file), 'utf8'), crds);
    valid += conformity.valid;
    findings.push(...conformity.findings.map((what) => `examples/${file}: kubeconform: ${what}`));
  }
  const unneeded = Object.keys(EXCEPTIONS).filter((id) => !excepted.has(id));
  findings.push(...unneeded.map((id) => `kube-score: the exception for ${id} is not needed any more`));
  return noFindings(findings, {
    figure: `${rendered.length} installations, ${valid} objects valid, ${checks} checks of kube-score, ${findings.length} findings, ${excepted.size} exceptions`,
    limit: 'kubeconform (strict) and kube-score (optional checks too) clean',
    detail: { exceptions: EXCEPTIONS, crds: crds.length },
  });
}

export const manifests: SecurityCheck = {
  row: '2,13',
  name: 'manifests',
  what: 'the rendered manifests and the examples are as kubeconform and kube-score want them',
  run,
};
