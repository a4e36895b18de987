// Reads {"schema": {...}, "files": [{"path": ..., "text": ...}]} and prints the problems that the YAML language server shows
// for each. A text that names its schema in its first line is checked with that file, the others with the given schema.
const fs = require('fs')
const path = require('path')
const modules = process.argv[2]
const { getLanguageService } = require(`${modules}/yaml-language-server`)
const { TextDocument } = require(`${modules}/vscode-languageserver-textdocument`)
require(`${modules}/@vscode/l10n`).config({ fsPath: `${modules}/yaml-language-server/l10n/bundle.l10n.json` })

async function main() {
  const asked = JSON.parse(fs.readFileSync(0, 'utf8'))
  const service = getLanguageService({
    schemaRequestService: (uri) => fs.promises.readFile(uri.replace('file://', ''), 'utf8'),
    workspaceContext: {
      resolveRelativePath: (relative, file) => `file://${path.resolve(path.dirname(file.replace('file://', '')), relative)}`,
    },
  })
  const uri = 'file:///given.schema.json'
  service.configure({ validate: true, schemas: [{ uri, fileMatch: ['*'], schema: asked.schema }] })
  const found = []
  for (const file of asked.files) {
    const document = TextDocument.create(`file://${file.path}`, 'yaml', 1, file.text)
    const problems = await service.doValidation(document, false)
    found.push(problems.map((one) => `${one.range.start.line + 1}: ${one.message}`))
  }
  console.log(JSON.stringify(found))
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
