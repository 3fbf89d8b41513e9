// Shows the description of the REST interface; the library comes with the server.
SwaggerUIBundle({ url: "../openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
