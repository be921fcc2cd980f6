import java.io.File;
import javax.servlet.http.HttpServletRequest;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;
import org.eclipse.jgit.http.server.GitServlet;
import org.eclipse.jgit.transport.ReceivePack;
import org.eclipse.jgit.transport.resolver.FileResolver;

/** Serves the repositories of a folder over smart HTTP: {@code java JGitServlet.java ROOT PORT}. */
public class JGitServlet {
    public static void main(String[] arguments) throws Exception {
        GitServlet git = new GitServlet();
        git.setRepositoryResolver(new FileResolver<HttpServletRequest>(new File(arguments[0]), true));
        // Its own factory asks who pushes, and nobody logs in here.
        git.setReceivePackFactory((request, repository) -> new ReceivePack(repository));

        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(arguments[1]));
        server.addConnector(connector);
        ServletContextHandler root = new ServletContextHandler();
        root.addServlet(new ServletHolder(git), "/*");
        server.setHandler(root);
        server.start();
        server.join();
    }
}
