import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { z } from 'zod';
import { goProgram } from '../go-program.ts';
import type { Manifest } from './render.ts';
import { crdSchemaFiles, kubernetesSchemas, SCHEMA_PATH, writeSchemas } from './schemas.ts';

const reportSchema = z.looseObject({
  resources: z
    .array(z.looseObject({ kind: z.string(), name: z.string(), status: z.string(), msg: z.string().optional() }))
    .nullish(),
  summary: z.looseObject({ valid: z.number(), invalid: z.number(), errors: z.number(), skipped: z.number() }),
});

export interface Conformity {
  /** How many objects are as their schemas say. */
  readonly valid: number;
  readonly findings: readonly string[];
}

/**
 * Holds YAML against the schemas of Kubernetes and of the given CustomResourceDefinitions. What has no schema is a
 * finding: nobody looked at it.
 */
export async function kubeconform(yaml: string, crds: readonly Manifest[]): Promise<Conformity> {
  const [program, schemas] = [await goProgram('kubeconform'), await kubernetesSchemas()];
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-schemas-'));
  try {
    await writeSchemas(folder, crds.flatMap(crdSchemaFiles));
    await writeFile(join(folder, 'input.yaml'), yaml);
    const locations = [schemas, folder].flatMap((path) => ['-schema-location', join(path, SCHEMA_PATH)]);
    const args = ['-strict', '-summary', '-verbose', '-output', 'json', ...locations, join(folder, 'input.yaml')];
    // It exits with 1 for findings too; without a report, what it says instead is the error.
    const { stdout, stderr } = await execa(program, args, { reject: false });
    if (!stdout.startsWith('{')) throw new Error(`kubeconform could not work: ${stderr}`);
    const { resources, summary } = reportSchema.parse(JSON.parse(stdout));
    const bad = (resources ?? []).filter(({ status }) => status !== 'statusValid');
    return {
      valid: summary.valid,
      findings: bad.map(({ kind, name, status, msg }) => `${kind} ${name}: ${msg || status}`),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
