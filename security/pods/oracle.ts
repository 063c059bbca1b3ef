import { execa } from 'execa';
import { z } from 'zod';
import { goProgram } from '../go-program.ts';

const verdictSchema = z.strictObject({ violations: z.array(z.string()) });

/**
 * What Kubernetes' own Pod Security checks find against level `restricted` (see podsecurity/main.go), for each pod
 * template in turn: nothing, or sentences.
 */
export async function podSecurityViolations(templates: readonly unknown[]): Promise<readonly (readonly string[])[]> {
  const program = await goProgram('podsecurity');
  const input = templates.map((template) => `${JSON.stringify(template)}\n`).join('');
  const { stdout } = await execa(program, { input, maxBuffer: 1024 ** 3 });
  const verdicts = stdout.split('\n').filter((line) => line !== '');
  if (verdicts.length !== templates.length) {
    throw new Error(`podsecurity judged ${verdicts.length} of ${templates.length} pod templates`);
  }
  return verdicts.map((line) => verdictSchema.parse(JSON.parse(line)).violations);
}
