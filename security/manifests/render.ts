import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { localkube } from '../../test/cluster/localkube.ts';
import { run } from '../../test/cluster/progress.ts';

/** What `kubectl apply -k` would send, by kubectl's own kustomize. */

const MANIFESTS = fileURLToPath(new URL('../../manifests', import.meta.url));

const objectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
});
export type Manifest = z.infer<typeof objectSchema>;

export interface RenderedManifests {
  /** The folder below manifests/. */
  readonly name: string;
  readonly yaml: string;
  readonly objects: readonly Manifest[];
}

/** Objects of a YAML file; empty documents are none. @throws Error for what is no Kubernetes object */
export const objectsOf = (yaml: string): Manifest[] =>
  parseAllDocuments(yaml)
    .map((document): unknown => document.toJS())
    .filter((value) => value !== null && value !== undefined)
    .map((value) => objectSchema.parse(value));

/** The kustomizations that people apply, as folders below manifests/. */
export const installations = (): string[] => [
  'admission',
  ...readdirSync(join(MANIFESTS, 'overlays'))
    .sort()
    .map((overlay) => `overlays/${overlay}`),
];

/** @param name of a folder below manifests/ with a kustomization in it */
export async function renderManifests(name: string): Promise<RenderedManifests> {
  const yaml = await run(await localkube(), ['kubectl', 'kustomize', join(MANIFESTS, name)]);
  return { name, yaml: `${yaml}\n`, objects: objectsOf(yaml) };
}

export const everyInstallation = async (): Promise<RenderedManifests[]> => {
  const rendered: RenderedManifests[] = [];
  for (const name of installations()) rendered.push(await renderManifests(name));
  return rendered;
};
