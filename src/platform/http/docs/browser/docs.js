// Runs in the browser, after swagger-ui-bundle.js.
const answer = await fetch('/openapi.json')
const spec = await answer.json()

// Requests go to where this page came from, whatever address the document gives: the page's policy allows no other.
spec.servers = [{ url: location.origin }]

window.SwaggerUIBundle({
  domNode: document.getElementById('docs'),
  spec,
  // The default fetches a badge from validator.swagger.io.
  validatorUrl: null,
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: true,
  // The schemas stand folded at the end. Unfolding all operations at once takes Swagger UI a minute.
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
})
