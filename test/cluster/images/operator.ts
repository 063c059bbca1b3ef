import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import packageJson from '../../../package.json' with { type: 'json' };
import { cached, hashOf } from '../cache.ts';
import { type Docker, docker, withDocker } from '../kind/docker.ts';
import { imageIsThere, pullImage, removeOtherImages } from '../kind/registry.ts';
import { CommandError, run, step } from '../progress.ts';
import { localNodeBase } from './node-base.ts';

const lockSchema = z.looseObject({
  packages: z.record(
    z.string(),
    z.looseObject({
      dev: z.boolean().optional(),
    }),
  ),
});

const REPO = fileURLToPath(new URL('../../..', import.meta.url));
const REPOSITORY = 'bulkhead.local/operator';
/** Type declarations, source maps and documents, which no program reads when it runs. */
const NOT_NEEDED = String.raw`.*\.(d\.[cm]?ts|map|md)`;
/** What manifests/overlays/production names. */
const RELEASE = `${REPOSITORY}:${packageJson.version}`;

/**
 * The operator's image, `bulkhead.local/operator:<hash of its sources>` and `:<version>`, built from the Dockerfile into
 * the Docker daemon that the kind clusters are on: call it while one is up, or the daemon stays until the next `down`.
 * `ref` changes with the sources; `release` is what install.yaml names.
 */
export async function operatorImage(): Promise<{ ref: string; release: string }> {
  return await withDocker(async (it) => {
    const base = await baseImage(it);
    const sources = ['Dockerfile', 'package.json', 'package-lock.json', 'src'].map((path) => ({
      path: join(REPO, path),
    }));
    const ref = `${REPOSITORY}:${(await hashOf(...sources, base)).slice(0, 12)}`;
    if (!(await imageIsThere(it, ref))) {
      await step("Building the operator's image", () => build(it, base, ref), {
        typical: '10 s, the first time 1 min',
      });
      await removeOtherImages(it, REPOSITORY, ref);
      await docker(it, ['tag', ref, RELEASE]);
    }
    return { ref, release: RELEASE };
  });
}

/** The Dockerfile's own, where it is there or can be had. */
async function baseImage(it: Docker): Promise<string> {
  const usual = /^ARG BASE_IMAGE=(\S+)$/m.exec(await readFile(join(REPO, 'Dockerfile'), 'utf8'))?.[1] ?? '';
  if (await imageIsThere(it, usual)) return usual;
  const local = await localNodeBase();
  if (await imageIsThere(it, local.ref)) return local.ref;
  if (await pullImage(it, usual)) return usual;
  await docker(it, ['load', '--quiet', '--input', await local.build()]);
  return local.ref;
}

async function build(it: Docker, base: string, ref: string): Promise<void> {
  const modules = await productionModules();
  // Debian's docker.io has no buildx; the classic builder then does the same.
  const env = (await hasBuildx(it)) ? it.env : { ...it.env, DOCKER_BUILDKIT: '0' };
  const build = ['docker', 'build', '--build-arg', `BASE_IMAGE=${base}`, '--target', 'staged', '--tag', ref, '-'];
  // The context is the repo's sources with node_modules from elsewhere.
  const script =
    'sources=$1 modules=$2; shift 2; ' +
    'tar -C "$sources" -cf - Dockerfile package.json src -C "$modules" node_modules | "$@"';
  await run('bash', ['-o', 'pipefail', '-c', script, 'bash', REPO, modules, ...build], { env });
}

/** A folder whose node_modules has what the operator needs at run time and no more. */
async function productionModules(): Promise<string> {
  const manifest = productionManifest(JSON.parse(await readFile(join(REPO, 'package.json'), 'utf8')));
  const lock = productionLock(JSON.parse(await readFile(join(REPO, 'package-lock.json'), 'utf8')));
  return await cached('operator-modules', await hashOf(manifest, lock), async (dir) => {
    await writeFile(join(dir, 'package.json'), manifest);
    await writeFile(join(dir, 'package-lock.json'), lock);
    const args = ['ci', '--omit=dev', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'];
    await run('npm', args, { cwd: dir });
    // Half of it is for editors and debuggers, in thousands of small files.
    await run('find', [
      join(dir, 'node_modules'),
      '-regextype',
      'posix-extended',
      '-type',
      'f',
      '-regex',
      NOT_NEEDED,
      '-delete',
    ]);
  });
}

/**
 * Development and optional packages are left out of the manifest and the lock as well: npm looks up even those that it
 * omits, and some registries lack the ones for other platforms.
 */
function productionManifest(manifest: object): string {
  return JSON.stringify({ ...manifest, devDependencies: {}, optionalDependencies: {} });
}

function productionLock(lock: unknown): string {
  const { packages, ...rest } = lockSchema.parse(lock);
  const entries = Object.entries(packages).flatMap(([path, { dev, ...entry }]) => {
    if (dev) return [];
    return [[path, path ? entry : { ...entry, devDependencies: {}, optionalDependencies: {} }]];
  });
  return JSON.stringify({ ...rest, packages: Object.fromEntries(entries) });
}

async function hasBuildx(it: Docker): Promise<boolean> {
  try {
    await docker(it, ['buildx', 'version']);
    return true;
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
}
