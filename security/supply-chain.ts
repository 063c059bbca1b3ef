import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { noFindings, type Outcome, type SecurityCheck } from './check.ts';

/** What is built is what the lock files say, down to the base image, and a list says what that is. */

const CHECKOUT = fileURLToPath(new URL('..', import.meta.url));
/** Ignored by Git: it is made anew from the lock file, which is not. */
const SBOM = join(CHECKOUT, '.bulkhead/security/sbom.cdx.json');

const dependencies = z.record(z.string(), z.string()).optional();
const packageSchema = z.looseObject({
  dependencies,
  devDependencies: dependencies,
  optionalDependencies: dependencies,
});
const lockSchema = z.looseObject({
  packages: z.record(
    z.string(),
    z.looseObject({
      version: z.string().optional(),
      integrity: z.string().optional(),
      resolved: z.string().optional(),
      link: z.boolean().optional(),
      dev: z.boolean().optional(),
    }),
  ),
});
const sbomSchema = z.looseObject({
  bomFormat: z.literal('CycloneDX'),
  components: z.array(
    z.looseObject({
      name: z.string(),
      version: z.string(),
      'bom-ref': z.string(),
      hashes: z.array(z.looseObject({ content: z.string() })).optional(),
    }),
  ),
  dependencies: z.array(z.looseObject({ ref: z.string(), dependsOn: z.array(z.string()).optional() })).optional(),
});

type Lock = z.infer<typeof lockSchema>;
type Sbom = z.infer<typeof sbomSchema>;

/** `a` of `node_modules/b/node_modules/a`. */
const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

/** Packages that could be others tomorrow, and wishes that the lock file knows nothing of. */
export function lockFindings(packageJson: unknown, lock: unknown): string[] {
  const { packages } = lockSchema.parse(lock);
  const [wanted, locked] = [packageSchema.parse(packageJson), packageSchema.parse(packages[''] ?? {})];
  const loose = Object.entries(packages).flatMap(([path, { integrity, resolved, link }]) => {
    if (path === '') return [];
    if (link || /^(git|file|https?:.*\.git)/.test(resolved ?? '')) return [`${path} comes from outside a registry`];
    return integrity === undefined ? [`${path} has no integrity in the lock file`] : [];
  });
  const kinds = ['dependencies', 'devDependencies', 'optionalDependencies'] as const;
  const outdated = kinds.flatMap((kind) =>
    Object.entries(wanted[kind] ?? {}).flatMap(([name, range]) =>
      locked[kind]?.[name] === range ? [] : [`package-lock.json does not have ${name} ${range}`],
    ),
  );
  return [...loose, ...outdated];
}

/** Commands in scripts that install something else than what the lock file says. */
export const installFindings = (file: string, text: string): string[] =>
  text.split('\n').flatMap((line, index) => {
    const command = line.replace(/#.*/, '');
    const isLoose = /\bnpm (install|i|add|update)\b|\bnpx (?!--no-install)|\b(yarn|pnpm)\b/.test(command);
    return isLoose ? [`${file}:${index + 1}: installs without the lock file: ${command.trim()}`] : [];
  });

/** Base images that a registry could replace under their name. */
export function imageFindings(dockerfile: string): string[] {
  const defaults = new Map(
    [...dockerfile.matchAll(/^ARG (\w+)=(\S+)/gm)].map(([, name = '', value = '']) => [name, value]),
  );
  const stages = new Set([...dockerfile.matchAll(/^FROM \S+ AS (\S+)/gim)].map(([, name]) => name));
  return [...dockerfile.matchAll(/^FROM (\S+)/gim)].flatMap(([, from = '']) => {
    const image = from.replace(/^\$\{?(\w+)\}?$/, (_, name: string) => defaults.get(name) ?? '');
    if (stages.has(image) || image === 'scratch' || /@sha256:[0-9a-f]{64}$/.test(image)) return [];
    return [`Dockerfile: the base image ${image || from} is not pinned by a digest`];
  });
}

/** Go modules whose dependencies nobody has a sum of. */
export const goFindings = (
  modules: readonly { readonly path: string; readonly mod: string; readonly sum: string }[],
): string[] =>
  modules.flatMap(({ path, mod, sum }) =>
    /^require\b/m.test(mod) && sum === '' ? [`${path} has no go.sum beside it`] : [],
  );

/** What an installation of production dependencies has that the bill of materials does not list, with a sum. */
export function sbomFindings(sbom: unknown, lock: unknown): string[] {
  const { components } = sbomSchema.parse(sbom);
  const listed = new Map(components.map((one) => [`${one.name}@${one.version}`, one]));
  return production(lockSchema.parse(lock)).flatMap((id) => {
    const component = listed.get(id);
    if (!component) return [`the SBOM lacks ${id}`];
    return (component.hashes ?? []).length > 0 ? [] : [`the SBOM has no sum of ${id}`];
  });
}

const production = ({ packages }: Lock): string[] =>
  Object.entries(packages)
    .filter(([path, { dev }]) => path !== '' && dev !== true)
    .map(([path, { version }]) => `${nameOf(path)}@${version}`);

const read = (path: string): string => readFileSync(join(CHECKOUT, path), 'utf8');
const readIfThere = (path: string): string => (globSync(path, { cwd: CHECKOUT }).length > 0 ? read(path) : '');

/**
 * A bill of materials without what only developers need. By hand, since `npm sbom --omit dev` also leaves out what
 * production and development both need, such as pg's own pg-types.
 */
export function withoutDevelopment(sbom: unknown, lock: unknown): Sbom {
  const all = sbomSchema.parse(sbom);
  const kept = new Set(production(lockSchema.parse(lock)));
  const components = all.components.filter(({ name, version }) => kept.has(`${name}@${version}`));
  const refs = new Set(components.map((component) => component['bom-ref']));
  const root = (ref: string): boolean => !all.components.some((component) => component['bom-ref'] === ref);
  const edges = (all.dependencies ?? [])
    .filter(({ ref }) => refs.has(ref) || root(ref))
    .map((edge) => ({ ...edge, dependsOn: (edge.dependsOn ?? []).filter((ref) => refs.has(ref)) }));
  return { ...all, components, dependencies: edges };
}

async function makeSbom(lock: unknown): Promise<Sbom> {
  const args = ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx'];
  const { stdout } = await promisify(execFile)('npm', args, { cwd: CHECKOUT, maxBuffer: 64 * 1024 ** 2 });
  const sbom = withoutDevelopment(JSON.parse(stdout), lock);
  await mkdir(join(SBOM, '..'), { recursive: true });
  await writeFile(SBOM, `${JSON.stringify(sbom, null, 2)}\n`);
  return sbom;
}

async function run(): Promise<Outcome> {
  const [lock, packageJson] = [JSON.parse(read('package-lock.json')), JSON.parse(read('package.json'))];
  const sbom = await makeSbom(lock);
  const modules = globSync('{security,test,examples}/**/go.mod', { cwd: CHECKOUT }).map((path) => ({
    path,
    mod: read(path),
    sum: readIfThere(path.replace(/go\.mod$/, 'go.sum')),
  }));
  const findings = [
    ...lockFindings(packageJson, lock),
    ...['.ci/run', 'Dockerfile'].flatMap((file) => installFindings(file, read(file))),
    ...imageFindings(read('Dockerfile')),
    ...goFindings(modules),
    ...sbomFindings(sbom, lock),
  ];
  return noFindings(findings, {
    figure: `${Object.keys(lockSchema.parse(lock).packages).length - 1} packages locked, ${sbom.components.length} in the SBOM, ${modules.length} Go modules, ${findings.length} findings`,
    limit: 'all locked with sums, base images by digest, SBOM complete',
    detail: { sbom: SBOM.slice(CHECKOUT.length) },
  });
}

export const supplyChain: SecurityCheck = {
  row: '14',
  name: 'supply-chain',
  what: 'all that is installed is locked with its sum, and a bill of materials lists it',
  run,
};
